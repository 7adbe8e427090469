/** Tests writes behind on a disk that is full or read-only: no write is acknowledged that is not stored. */
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { mountBreaking, mountSmall } from '../support/file-systems.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { appliesTo, newLedger, type Ledger } from './ledger.ts';

vi.setConfig({ testTimeout: 60_000 });

interface Setting {
  readonly weir: RunningWeir;
  readonly ledger: Ledger;
  readonly sent: () => number;
  put(path: string, body: string): Promise<Response>;
}

/** Two routes, which differ in `on-full`. Writes that the first one accepts are not delivered. */
async function startOn(folder: string): Promise<Setting> {
  const origin = await startScriptedOrigin();
  const ledger = newLedger();
  appliesTo(origin, ledger);
  origin.on('PUT /kept/*', { status: 503, fields: ['Retry-After', '600'] });
  const weir = await startWeir(`
    cache: { memory: 16MiB, disk: { path: ${folder}/data, size: 0 } }
    origins: { app: { url: "${origin.url}" } }
    routes:
      - { name: kept, match: "/kept/{id}", write: { policy: behind } }
      - { name: sent, match: "/sent/{id}", write: { policy: behind, on-full: through } }`);
  onTestFinished(async () => {
    await weir.stop();
    await origin.close();
  });
  return {
    weir,
    ledger,
    sent: () => origin.requests.filter(({ url }) => url.startsWith('/sent/')).length,
    put: (path, body) => fetch(`${weir.url}${path}`, { method: 'PUT', body }),
  };
}

function reasonOf(answer: Response): string | undefined {
  return /detail=([\w-]+)/.exec(answer.headers.get('cache-status') ?? '')?.[1];
}

const small = mountSmall(48);
small?.unmount();

describe.skipIf(small === null)('a full disk', () => {
  it('makes a full journal: on-full decides, and every write that got 202 remains', async () => {
    const disk = mountSmall(48)!;
    onTestFinished(() => disk.unmount());
    const { weir, ledger, put } = await startOn(disk.folder);
    const { bavail, bsize } = statfsSync(disk.folder);
    writeFileSync(join(disk.folder, 'ballast'), Buffer.alloc(bavail * bsize));
    const body = 'x'.repeat(256 * 1024);
    let accepted = 0;
    let answer = await put('/kept/0', body);
    while (answer.status === 202) {
      accepted += 1;
      answer = await put(`/kept/${accepted}`, body);
    }
    expect([answer.status, reasonOf(answer)]).toEqual([503, 'not-durable']);
    expect(answer.headers.get('retry-after')).toBe('1');
    // Its hold is small, and the disk has room for that.
    const through = await put('/sent/1', body);
    expect([through.status, reasonOf(through)]).toEqual([204, 'not-durable']);
    expect(ledger.applied('/sent/1')).toEqual([body]);
    rmSync(join(disk.folder, 'ballast'));
    expect((await put('/kept/after', body)).status).toBe(202);
    const { writes } = (await weir.stats()) as { writes: Record<string, number> };
    expect(writes['waiting']).toBe(accepted + 1);
  });
});

const breaking = mountBreaking(96);
breaking?.unmount();

describe.skipIf(breaking === null)('a read-only disk', () => {
  it("rejects writes: a write is not sent if its hold can't be stored", async () => {
    const disk = mountBreaking(96)!;
    onTestFinished(() => disk.unmount());
    const { put, sent } = await startOn(disk.folder);
    expect((await put('/sent/1', 'one')).status).toBe(202);
    await expect.poll(sent).toBe(1);
    disk.failToReadOnly();
    for (const path of ['/kept/1', '/sent/2']) {
      const answer = await put(path, 'two');
      expect([answer.status, reasonOf(answer)]).toEqual([503, 'not-durable']);
    }
    expect(sent()).toBe(1);
  });
});

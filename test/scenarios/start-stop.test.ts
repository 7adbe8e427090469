/** How `weir serve` starts, or says in one line why it does not, and how it stops. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, RawConnection } from './client.ts';

const PROGRAM = fileURLToPath(new URL('../../proxy/cli/weir.ts', import.meta.url));

let folder: string;
let taken: Server;
let takenPort: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-start-'));
  taken = createServer();
  await once(taken.listen(0, '127.0.0.1'), 'listening');
  takenPort = (taken.address() as AddressInfo).port;
});

afterEach(() => {
  taken.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Start {
  readonly port?: number;
  readonly adminPort?: number;
  readonly path?: string;
}

/** Runs `weir serve` until it ends by itself. */
async function startInVain({ port = 0, adminPort = 0, path = join(folder, 'data') }: Start) {
  const file = join(folder, 'weir.yaml');
  writeFileSync(
    file,
    `listen: { port: ${port}, workers: 2 }\nadmin: { port: ${adminPort} }\nfence: { records: 1000 }\n` +
      `cache: { memory: 8MiB, disk: { path: ${path}, size: 16MiB } }\norigins: { shop: { url: "demo:" } }\n`,
  );
  const child = spawn(process.execPath, [PROGRAM, 'serve', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [code, out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  return { code: code[0] as number | null, out, err };
}

describe('weir serve ends with 1 and one line', () => {
  it('where the main port is taken', async () => {
    const { code, err } = await startInVain({ port: takenPort });
    expect(err).toBe(`weir: 127.0.0.1:${takenPort} is in use by another program\n`);
    expect(code).toBe(1);
  });

  it('where the admin port is taken, and leaves the main port free', async () => {
    const port = await freePort();
    const { code, err } = await startInVain({ port, adminPort: takenPort });
    expect(err).toBe(`weir: 127.0.0.1:${takenPort} is in use by another program\n`);
    expect(code).toBe(1);
    const again = createServer();
    await once(again.listen(port, '127.0.0.1'), 'listening');
    again.close();
  });

  it('where another Weir has the disk path', async () => {
    const path = join(folder, 'shared');
    const weir = await startWeir(`
      cache: { memory: 8MiB, disk: { path: ${path}, size: 16MiB } }
      origins: { shop: { url: "demo:" } }
    `);
    const { code, err } = await startInVain({ path });
    expect(err).toBe(`weir: ${path} is in use by another Weir (pid ${weir.pid})\n`);
    expect(code).toBe(1);
    await weir.stop();
  });

  it('where the disk path can not be written', async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const { code, err } = await startInVain({ path: join(file, 'data') });
    expect(err).toMatch(/^weir: .*a-file\/data is not writable: .+\n$/);
    expect(code).toBe(1);
  });
});

describe('a Weir that was started', () => {
  it('writes lines of JSON alone to standard output, and says to whoever looks where it listens', async () => {
    const weir = await startWeir(`
      origins: { shop: { url: "demo:" } }
      log: { level: info, access: true }
    `);
    await ask(`${weir.url}/products/1`);
    const request = await weir.event('request');
    expect(request).toMatchObject({ method: 'GET', path: '/products/1', status: 200, outcome: 'miss' });
    expect(await weir.stop()).toBe(0);
    const isJson = weir.lines.map((line) => line.startsWith('{') && line.endsWith('}'));
    expect(isJson.filter(Boolean).length).toBeGreaterThan(2);
    const spoken = weir.lines.find((_, i) => !isJson[i]);
    expect(spoken).toBe(`Weir listens on ${weir.url}, its admin side on ${weir.adminUrl}.`);
  });
});

describe('a Weir that is told to stop', () => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  const start = async (stopTimeout: string): Promise<void> => {
    origin = await startScriptedOrigin();
    weir = await startWeir(`
      listen: { port: 0, workers: 2, stop-timeout: ${stopTimeout} }
      cache: { memory: 8MiB, disk: { path: ./data, size: 16MiB } }
      origins: { app: { url: "${origin.url}" } }
    `);
  };

  afterEach(async () => {
    await weir.stop();
    await origin.close();
  });

  /** Resolves when nobody listens any more. */
  const untilClosed = async (): Promise<void> => {
    for (;;) {
      const probe = new RawConnection(weir.port);
      const isOpen = await new Promise((resolve) => {
        probe.socket.once('connect', () => resolve(true));
        probe.socket.once('error', () => resolve(false));
      });
      probe.close();
      if (isOpen !== true) return;
    }
  };

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'finishes what is under way and takes nothing new (%s)',
    async (signal) => {
      await start('20s');
      const held = gate();
      origin.on('/held', async (_request, answer) => {
        answer.head(200, ['Cache-Control', 'max-age=60', 'Content-Length', '7']);
        await held.promise;
        await answer.write('content');
        answer.end();
      });
      const asked = ask(`${weir.url}/held`);
      const idle = new RawConnection(weir.port);
      idle.write('GET /none HTTP/1.1\r\nHost: a\r\n\r\n');
      await idle.comes('\r\n\r\n');
      await origin.seen('/held');
      weir.signal(signal);
      await untilClosed();
      await idle.ended();
      expect((await weir.admin('/readyz')).status).toBe(503);
      expect((await weir.admin('/healthz')).status).toBe(200);
      held.open();
      expect(await asked).toMatchObject({ status: 200, body: 'content', whole: true });
      expect(await weir.exited).toBe(0);
      expect(weir.events('stopped')).toHaveLength(1);
    },
  );

  it('cuts what is still under way when the time is up, and says how much', async () => {
    await start('100ms');
    origin.on('/held', (_request, answer) => answer.gone);
    const asked = ask(`${weir.url}/held`).catch((error: NodeJS.ErrnoException) => error.code);
    await origin.seen('/held');
    weir.signal('SIGTERM');
    expect(await asked).toBe('ECONNRESET');
    expect(await weir.exited).toBe(0);
    expect(weir.events('stopped')).toMatchObject([{ level: 'warn', cut: 1 }]);
  });

  it('ends at once when it is told again', async () => {
    await start('1h');
    origin.on('/held', (_request, answer) => answer.gone);
    const asked = ask(`${weir.url}/held`).catch((error: NodeJS.ErrnoException) => error.code);
    await origin.seen('/held');
    weir.signal('SIGTERM');
    await weir.event('stopping');
    weir.signal('SIGTERM');
    expect(await weir.exited).toBe(1);
    expect(await asked).toBe('ECONNRESET');
  });

  it('starts again on the same path, also after it was killed', async () => {
    await start('1s');
    origin.on('/kept', { fields: ['Cache-Control', 'max-age=600'], body: 'kept' });
    await ask(`${weir.url}/kept`);
    await weir.kill();
    const again = await startWeir(
      `
      cache: { memory: 8MiB, disk: { path: ./data, size: 16MiB } }
      origins: { app: { url: "${origin.url}" } }
    `,
      { folder: weir.folder },
    );
    expect((await ask(`${again.url}/kept`)).body).toBe('kept');
    expect(await again.stop()).toBe(0);
  });
});

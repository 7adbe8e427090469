/**
 * Tests a disk that fills, fails or can't be synced while Weir serves: Weir continues to serve, acknowledges
 * nothing that is not durable, and reports it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { newPlace } from '../cli/support.ts';
import { mountBreaking, mountSmall } from '../support/file-systems.ts';
import { requireProgram } from '../support/programs.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask } from './client.ts';
import { isHit, purge, seen, startVersionedOrigin } from './purging.ts';

vi.setConfig({ testTimeout: 120_000 });

const MIB = 2 ** 20;

interface Problem {
  readonly status: number;
  readonly detail: string;
}

/** The answer to a purge that can't be made durable. */
async function refused(weir: RunningWeir, body: object): Promise<Problem> {
  const answer = await weir.admin('/purge', { method: 'POST', body: JSON.stringify(body) });
  return { ...((await answer.json()) as Problem), status: answer.status };
}

async function problemsOf(weir: RunningWeir): Promise<string[]> {
  const answer = await weir.admin('/healthz');
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { problems: string[] }).problems;
}

async function metricsOf(weir: RunningWeir, name: string): Promise<number> {
  const text = await (await weir.admin('/metrics')).text();
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
}

const small = mountSmall(48);
small?.unmount();

describe.skipIf(small === null)('a disk that fills while Weir serves', () => {
  it("stops storing, but not serving, rejects purges that it can't store, and resumes both when there is room", async () => {
    const disk = mountSmall(48)!;
    const bodyOf = (url: string): Buffer => Buffer.alloc(MIB, url);
    const origin = await startScriptedOrigin();
    origin.on('*', ({ url }) => ({
      fields: ['Cache-Control', 'max-age=600', 'ETag', `"${url}"`],
      body: bodyOf(url),
    }));
    const weir = await startWeir(`
      cache: { memory: 0, disk: { path: ${disk.folder}/data, size: 1GiB } }
      origins: { app: { url: "${origin.url}" } }
    `);
    onTestFinished(async () => {
      await weir.stop();
      await origin.close();
      disk.unmount();
    });
    const get = async (n: number): Promise<boolean> => {
      const { body, whole } = await ask(`${weir.url}/large/${n}`);
      return whole && Buffer.from(body, 'latin1').equals(bodyOf(`/large/${n}`));
    };
    expect(await problemsOf(weir)).toEqual([]);
    for (let n = 0; n < 60; n += 1) expect(await get(n)).toBe(true);
    expect(await weir.event('disk')).toMatchObject({ kind: 'storing-stopped', untilRestart: false });
    expect(await metricsOf(weir, 'weir_disk_full_errors_total')).toBeGreaterThan(0);
    expect(await metricsOf(weir, 'weir_disk_storing')).toBe(0);
    expect(await problemsOf(weir)).toEqual([expect.stringContaining('nothing more is stored on disk')]);
    // Entries that were stored before are served from disk.
    origin.forget();
    expect(await get(0)).toBe(true);
    expect(origin.count()).toBe(0);
    // The state has reserved pages: a full cache does not prevent a purge.
    expect(await purge(weir, { urls: ['/large/0'] })).toMatchObject({ tags: 1 });
    expect(await isHit(weir, '/large/0')).toBe(false);
    const { bavail, bsize } = statfsSync(disk.folder);
    writeFileSync(join(disk.folder, 'ballast'), Buffer.alloc(bavail * bsize));
    expect(await purge(weir, { urls: ['/large/1'] })).toMatchObject({ tags: 1 });
    rmSync(join(disk.folder, 'ballast'));
  });

  it('serves, stores purges and reports it, if the disk was full before Weir started', async () => {
    const disk = mountSmall(48)!;
    const origin = await startVersionedOrigin();
    onTestFinished(async () => {
      await origin.close();
      disk.unmount();
    });
    const start = (): Promise<RunningWeir> =>
      startWeir(`
        cache: { memory: 0, disk: { path: ${disk.folder}/data, size: 20MiB } }
        origins: { app: { url: "${origin.url}" } }
      `);
    const before = await start();
    await seen(before, '/a');
    await before.stop();
    const { bavail, bsize } = statfsSync(disk.folder);
    writeFileSync(join(disk.folder, 'ballast'), Buffer.alloc(bavail * bsize));
    const weir = await start();
    onTestFinished(async () => void (await weir.stop()));
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 0']));
    expect(await seen(weir, '/b')).toEqual(new Set(['/b 0']));
    // The cache's own file may have pages left, or the cache can't even record its identity.
    const problem = /could not be opened|nothing more is stored/;
    await expect.poll(() => problemsOf(weir)).toEqual([expect.stringMatching(problem)]);
    origin.change('/a');
    expect(await purge(weir, { urls: ['/a'] })).toMatchObject({ tags: 1 });
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
  });
});

const breaking = mountBreaking(96);
breaking?.unmount();

describe.skipIf(breaking === null)('a read-only disk', () => {
  const yaml = (folder: string, origin: string, ttl = '60s'): string => `
      admin: { port: 0, token: token }
      cache: { memory: 16MiB, disk: { path: ${folder}/data, size: 0 } }
      origins: { app: { url: "${origin}" } }
      routes: [{ name: all, match: /*, cache: { default-ttl: ${ttl} } }]`;
  const start = (folder: string, origin: string, ttl?: string): Promise<RunningWeir> =>
    startWeir(yaml(folder, origin, ttl)).then(withToken);

  it('before the start: Weir serves without it, keeps its entries coherent, and acknowledges no purge', async () => {
    const disk = mountBreaking(96)!;
    onTestFinished(() => disk.unmount());
    const origin = await startVersionedOrigin();
    onTestFinished(() => origin.close());
    const before = await start(disk.folder, origin.url);
    await seen(before, '/a');
    await before.stop();
    disk.failToReadOnly();
    // A route has changed, which can't be recorded either.
    const weir = await start(disk.folder, origin.url, '61s');
    onTestFinished(async () => void (await weir.stop()));
    expect(await weir.event('disk-read-only')).toMatchObject({ path: `${disk.folder}/data` });
    expect(await problemsOf(weir)).toContainEqual(expect.stringContaining("state can't be written"));
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 0']));
    expect(await isHit(weir, '/a')).toBe(true);
    origin.change('/a');
    expect(await refused(weir, { urls: ['/a'] })).toMatchObject({ status: 503 });
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    origin.change('/a');
    expect((await ask(`${weir.url}/a`, { method: 'POST' })).status).toBe(204);
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 2']));
  });

  it('while Weir runs: it continues to serve, acknowledges no purge, and purges again after a repair', async () => {
    const disk = mountBreaking(96)!;
    onTestFinished(() => disk.unmount());
    const origin = await startVersionedOrigin();
    onTestFinished(() => origin.close());
    const weir = await start(disk.folder, origin.url);
    await seen(weir, '/a');
    disk.failToReadOnly();
    origin.change('/a');
    expect(await refused(weir, { urls: ['/a'] })).toMatchObject({
      status: 503,
      detail: expect.stringContaining('could not be written'),
    });
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    expect(await seen(weir, '/new')).toEqual(new Set(['/new 0']));
    expect(await problemsOf(weir)).toContainEqual(expect.stringContaining("state can't be written"));
    expect(await metricsOf(weir, 'weir_fence_failures_total')).toBeGreaterThan(0);
    expect(await weir.event('clock-not-recorded')).toMatchObject({ level: 'warn' });
    // The invalidation could not be recorded.
    await weir.reload(yaml(disk.folder, origin.url, '61s'));
    expect(weir.events('reload-refused')).toMatchObject([
      { errors: [expect.stringContaining('could not be written')] },
    ]);
    await weir.kill();
    disk.repair();
    const again = await start(disk.folder, origin.url);
    onTestFinished(async () => void (await again.stop()));
    expect(await problemsOf(again)).toEqual([]);
    expect(await purge(again, { urls: ['/a'] })).toMatchObject({ tags: 1 });
  });
});

const strace = requireProgram('strace');

describe.skipIf(strace.kind === 'missing')('a state whose sync fails', () => {
  it('acknowledges no purge: not on the admin side, not as PURGE, not by the command', async () => {
    const origin = await startVersionedOrigin();
    const weir = withToken(
      await startWeir(`
        admin: { port: 0, token: token }
        origins: { app: { url: "${origin.url}" } }
      `),
    );
    const place = await newPlace();
    onTestFinished(async () => {
      await weir.stop();
      await origin.close();
      await place.remove();
    });
    await seen(weir, '/a');
    const path = strace.kind === 'found' ? strace.path : '';
    const inject = 'inject=fdatasync,fsync,msync:error=EIO';
    const args = ['-f', '-e', 'trace=fdatasync,fsync,msync', '-e', inject, '-p', String(weir.pid)];
    const tracer = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    await once(tracer.stderr, 'data');
    tracer.stderr.resume();
    origin.change('/a');
    const headers = { authorization: 'Bearer token' };
    expect(await refused(weir, { urls: ['/a'] })).toMatchObject({ status: 503 });
    expect((await ask(`${weir.url}/a`, { method: 'PURGE', headers })).status).toBe(503);
    const admin = `{ port: ${new URL(weir.adminUrl).port}, token: token }`;
    await place.write('weir.yaml', `admin: ${admin}\norigins: { app: { url: "${origin.url}" } }\n`);
    const ran = await place.weir(['purge', '--url', '/a', '--config', 'weir.yaml']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('could not be written') });
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    tracer.kill('SIGINT');
    await once(tracer, 'exit');
    expect(await purge(weir, { urls: ['/a'] })).toMatchObject({ tags: 1 });
  });
});

function withToken(weir: RunningWeir): RunningWeir {
  const { admin } = weir;
  weir.admin = (path, init = {}) =>
    admin.call(weir, path, { ...init, headers: { ...init.headers, authorization: 'Bearer token' } });
  return weir;
}

/**
 * Tests whether a start trusts a disk path that was restored from a copy, or that is newer than the clock's
 * time.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, type Clock } from '../../proxy/threads/clock.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { Coordinator, type CoordinatorDependencies } from '../../proxy/runtime/coordinator.ts';
import { configOf } from '../config/load.ts';
import { ask, cacheStatusOf } from './client.ts';
import { startVersionedOrigin, type VersionedOrigin } from './purging.ts';

vi.setConfig({ testTimeout: 120_000 });

let origin: VersionedOrigin;
let folder: string;
const own = (): string => join(folder, 'own');
const copy = (): string => join(folder, 'copy');

beforeEach(async () => {
  origin = await startVersionedOrigin();
  folder = mkdtempSync(join(tmpdir(), 'weir-restored-'));
});

afterEach(async () => {
  await origin.close();
  rmSync(folder, { recursive: true, force: true });
});

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });

/** Runs Weir with the folder while `during` runs. */
async function run<T>(
  during: (url: string, admin: string) => Promise<T>,
  more: Partial<Pick<CoordinatorDependencies, 'clock' | 'mechanisms' | 'distrust'>> = {},
): Promise<T> {
  const config = configOf(
    `
      listen: { port: 0, workers: 1 }
      admin: { port: 0 }
      cache: { memory: 1MiB, disk: { path: ./own, size: 64MiB } }
      origins: { app: { url: "${origin.url}" }, down: { url: "http://127.0.0.1:1" } }
      routes:
        - { name: later, match: "/later/*", origin: down, write: { policy: behind } }
        - { name: all, match: "/*", origin: app }
    `,
    { directory: folder },
  );
  const base = { config, clock: systemClock, mechanisms: ALL_MECHANISMS, log, version: '0' };
  const started = await Coordinator.start({ ...base, ...more });
  if (started.kind === 'failed') throw new Error(started.reason);
  try {
    return await during(`http://127.0.0.1:${started.port}`, `http://127.0.0.1:${started.adminPort}`);
  } finally {
    await started.coordinator.stop(1_000);
  }
}

const storeAll = (url: string): Promise<unknown> =>
  Promise.all(['/a', '/b'].map((path) => ask(`${url}${path}`)));
const change = async (url: string): Promise<void> => {
  origin.change('/a');
  await ask(`${url}/a`, { method: 'POST' });
};
/** The content of what was invalidated; how the rest was answered. */
const look = async (url: string): Promise<readonly unknown[]> => [
  (await ask(`${url}/a`)).body,
  cacheStatusOf(await ask(`${url}/b`)),
];
const REVALIDATED = ['/a 1', expect.objectContaining({ fwd: 'stale', 'fwd-status': '304' })];
const BELIEVED = ['/a 0', expect.objectContaining({ hit: true })];

/** Fills the cache, copies everything, and then makes a change. */
async function copied(): Promise<void> {
  await run(storeAll);
  cpSync(own(), copy(), { recursive: true, preserveTimestamps: true });
  await run(change);
}

const put = (): void => void execFileSync('cp', ['-a', `${copy()}/.`, `${own()}/`]);
const waiting = async (admin: string): Promise<string[]> => {
  const lists = await Promise.all(['waiting', 'dead'].map((state) => ask(`${admin}/writes?state=${state}`)));
  return lists.flatMap(({ body }) =>
    (JSON.parse(body) as { writes: { state: string }[] }).writes.map(({ state }) => state),
  );
};
const write = (url: string): Promise<unknown> => ask(`${url}/later/1`, { method: 'PUT', body: 'a' });

describe('a disk path that was restored from a copy', () => {
  it('is revalidated once: the copy in place of the folder', async () => {
    await copied();
    rmSync(own(), { recursive: true });
    put();
    expect(await run(look)).toEqual(REVALIDATED);
    expect(await run(look)).toEqual(['/a 1', expect.objectContaining({ hit: true })]);
  });

  it('is revalidated once: each file overwritten by the copy', async () => {
    await run(write);
    await copied();
    put();
    const looked = await run(async (url, admin) => [await look(url), await waiting(admin)]);
    expect(looked).toEqual([REVALIDATED, ['uncertain']]);
  });

  it('does not send a waiting write where only the state was restored, over its file', async () => {
    await run(async (url) => {
      await storeAll(url);
      await write(url);
    });
    cpSync(own(), copy(), { recursive: true, preserveTimestamps: true });
    await run(change);
    copyFileSync(join(copy(), 'state/data.mdb'), join(own(), 'state/data.mdb'));
    expect(await run((_url, admin) => waiting(admin))).toEqual(['uncertain']);
  });

  it('would be trusted without this mechanism', async () => {
    await copied();
    rmSync(own(), { recursive: true });
    put();
    const mechanisms = { ...ALL_MECHANISMS, restoredCopies: false };
    expect(await run(look, { mechanisms })).toEqual(BELIEVED);
  });

  it('is revalidated where an operator requests it', async () => {
    await run(storeAll);
    origin.change('/a');
    expect(await run(look, { distrust: true })).toEqual(REVALIDATED);
  });
});

describe('a disk path that was not restored', () => {
  it('has its writes sent after a program changed its owners and modes', async () => {
    await run(write);
    const state = join(own(), 'state');
    for (const name of readdirSync(state)) if (name !== 'place-link') chmodSync(join(state, name), 0o600);
    expect(await run((_url, admin) => waiting(admin))).toEqual(['waiting']);
  });

  it('is trusted after a restart, and after the folder was moved', async () => {
    await run(storeAll);
    const believed = ['/a 0', expect.objectContaining({ hit: true })];
    expect(await run(look)).toEqual(believed);
    renameSync(own(), join(folder, 'elsewhere'));
    renameSync(join(folder, 'elsewhere'), own());
    expect(await run(look)).toEqual(believed);
  });

  it('is revalidated where the clock was set back since', async () => {
    await run(storeAll);
    origin.change('/a');
    const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() - 3_600_000 };
    expect(await run(look, { clock })).toEqual(REVALIDATED);
  });
});

/** Tests the entries and invalidations that a new start finds, after any change of the files in between. */
import {
  cpSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../proxy/threads/clock.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';
import { Coordinator } from '../../proxy/runtime/coordinator.ts';
import { configOf } from '../config/load.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';
import { isHit, purge, seen, startVersionedOrigin, type VersionedOrigin } from './purging.ts';

// Each test starts several processes, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });

let origin: VersionedOrigin;
let weir: RunningWeir;

const start = async (
  routes = '[{ name: all, match: /* }]',
  cache = '{ memory: 16MiB, disk: { path: ./data, size: 64MiB } }',
): Promise<void> => {
  weir = await startWeir(
    `
      cache: ${cache}
      origins: { app: { url: "${origin.url}" } }
      routes: ${routes}
    `,
    { folder: weir.folder },
  );
  const running = weir;
  onTestFinished(async () => void (await running.stop({ keep: true })));
};

beforeEach(async () => {
  origin = await startVersionedOrigin();
  const folder = mkdtempSync(join(tmpdir(), 'weir-restart-'));
  weir = { folder } as RunningWeir;
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

afterEach(() => origin.close());

const stop = async (): Promise<void> => void (await weir.stop({ keep: true }));
const data = (name: string): string => join(weir.folder, 'data', name);

/** Resolves when the entry is on disk. */
async function stored(path: string): Promise<void> {
  await seen(weir, path);
  await expect
    .poll(async () => JSON.stringify(await (await weir.admin(`/entries?url=${path}`)).json()))
    .toContain('"disk"');
}

describe('a restart', () => {
  it.each(['stopped', 'killed'])(
    'after it was %s keeps entries, and brings no purged entry back',
    async (how) => {
      await start();
      for (const path of ['/kept', '/purged', '/confirmed']) await stored(path);
      origin.change('/purged');
      await purge(weir, { urls: ['/purged', '/confirmed'] });
      expect(await seen(weir, '/confirmed')).toEqual(new Set(['/confirmed 0']));
      if (how === 'killed') await weir.kill();
      else await stop();
      await start();
      origin.forget();
      expect(await seen(weir, '/kept')).toEqual(new Set(['/kept 0']));
      expect(origin.count('/kept')).toBe(0);
      expect(((await weir.stats())['disk'] as { promotions: number }).promotions).toBeGreaterThan(0);
      expect(await seen(weir, '/purged')).toEqual(new Set(['/purged 1']));
      expect(await seen(weir, '/confirmed')).toEqual(new Set(['/confirmed 0']));
      await purge(weir, { tags: ['of-kept'] });
      expect(await isHit(weir, '/kept')).toBe(false);
    },
  );
});

describe('files that changed while Weir was down', () => {
  it('a deleted state: the cache is not trusted', async () => {
    await start();
    await stored('/a');
    origin.change('/a');
    await purge(weir, { urls: ['/a'] });
    await stop();
    rmSync(data('state'), { recursive: true });
    await start();
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    expect(weir.events('disk-emptied').length + weir.events('state-older-than-cache').length).toBeGreaterThan(
      0,
    );
  });

  it('a damaged state: a new one replaces it, and the cache is not trusted', async () => {
    await start();
    await stored('/a');
    origin.change('/a');
    await purge(weir, { urls: ['/a'] });
    await stop();
    writeFileSync(data('state/data.mdb'), 'damaged'.repeat(10_000));
    await start();
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    await stored('/a');
    const [line] = weir.events('state-damaged');
    expect(line).toMatchObject({
      level: 'error',
      reason: expect.stringContaining('its first pages are damaged'),
    });
    expect(readFileSync(join(line!['aside'] as string, 'data.mdb'), 'utf8')).toContain('damaged');
    expect(await isHit(weir, '/a')).toBe(true);
  });

  it('a damaged state that may contain waiting writes: it is not discarded without the operator', async () => {
    const behind = '[{ name: all, match: /*, write: { policy: behind } }]';
    await start(behind);
    await stop();
    const damaged = 'damaged'.repeat(10_000);
    writeFileSync(data('state/data.mdb'), damaged);
    await expect(start(behind)).rejects.toThrow(/the state can't be opened: .* may hold writes/);
    expect(readFileSync(data('state/data.mdb'), 'utf8')).toBe(damaged);
    renameSync(data('state'), data('state-before'));
    await start(behind);
  });

  const everythingButTheCache = (source: string): boolean => !source.startsWith(data('cache'));

  it.each([
    ['the state', 'while it was stopped'],
    ['the state', 'while it ran'],
    ['everything but the cache', 'while it was stopped'],
    ['everything but the cache', 'while it ran'],
  ])('an older copy of %s, taken %s: the cache is not trusted', async (what, when) => {
    await start();
    await stored('/a');
    const copy = join(weir.folder, 'copy');
    const put = (from: string, to: string): void => {
      if (what === 'the state') cpSync(join(from, 'state'), join(to, 'state'), { recursive: true });
      else cpSync(from, to, { recursive: true, filter: everythingButTheCache });
    };
    if (when === 'while it was stopped') {
      await stop();
      put(data(''), copy);
      await start();
    } else put(data(''), copy);
    origin.change('/a');
    await purge(weir, { urls: ['/a'] });
    await stop();
    rmSync(data('state'), { recursive: true });
    put(copy, data(''));
    await start();
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    expect(await isHit(weir, '/a')).toBe(true);
  });

  it('the cache of a copy that was used elsewhere: it is not trusted', async () => {
    await start();
    await stored('/a');
    await stop();
    const [original, copy] = [join(weir.folder, 'original'), join(weir.folder, 'copy')];
    cpSync(data(''), copy, { recursive: true });
    for (let n = 0; n < 2; n += 1) {
      await start();
      await purge(weir, { tags: ['other'] });
      await stop();
    }
    renameSync(data(''), original);
    renameSync(copy, data(''));
    await start();
    origin.change('/a');
    await purge(weir, { urls: ['/a'] });
    await stop();
    rmSync(join(original, 'cache'), { recursive: true });
    renameSync(data('cache'), join(original, 'cache'));
    rmSync(data(''), { recursive: true });
    renameSync(original, data(''));
    await start();
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
    expect(weir.events('disk-emptied').length).toBe(1);
  });

  it('a deleted cache: a new one is filled', async () => {
    await start();
    await stored('/a');
    await stop();
    rmSync(data('cache'), { recursive: true });
    await start();
    expect(await isHit(weir, '/a')).toBe(false);
    expect(await isHit(weir, '/a')).toBe(true);
  });

  it('a cache path with something else in its place: Weir serves without it, keeps purges, and reports it', async () => {
    await start();
    await stored('/a');
    await stop();
    rmSync(data('cache'), { recursive: true });
    writeFileSync(data('cache'), 'something else');
    await start();
    expect(weir.events('disk-tier-off')).toHaveLength(1);
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 0']));
    origin.change('/a');
    expect(await purge(weir, { urls: ['/a'] })).toMatchObject({ tags: 1 });
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
  });

  it('a damaged cache: nothing wrong is served, and the log reports it', async () => {
    await start();
    for (let i = 0; i < 20; i += 1) await stored(`/damaged/${i}`);
    await stop();
    const file = data('cache/data.mdb');
    const { length } = readFileSync(file);
    const handle = openSync(file, 'r+');
    for (let at = 8_192; at < length; at += 512) writeSync(handle, Buffer.from('damage'), 0, 6, at);
    closeSync(handle);
    await start();
    for (let i = 0; i < 20; i += 1) {
      expect(await seen(weir, `/damaged/${i}`)).toEqual(new Set([`/damaged/${i} 0`]));
    }
    expect(weir.events('disk').length).toBeGreaterThan(0);
  });
});

describe('a configuration that changed while Weir was down', () => {
  it('a changed route: its entries are revalidated, and another route uses what the first had stored', async () => {
    const routes = (ttl: string, more = ''): string =>
      `[{ name: one, match: /one/*, cache: { freshness: fixed, ttl: ${ttl} } }, ${more} { name: all, match: /* }]`;
    await start(routes('1h'));
    for (const path of ['/one/a', '/two/a', '/moved/a']) await stored(path);
    await stop();
    await start(routes('2h', '{ name: moved, match: /moved/*, cache: { tags: [mine] } },'));
    expect(cacheStatusOf(await ask(`${weir.url}/one/a`))).toMatchObject({
      fwd: 'stale',
      'fwd-status': '304',
    });
    expect(await isHit(weir, '/two/a')).toBe(true);
    expect(await isHit(weir, '/moved/a')).toBe(false);
    await stored('/moved/a');
    origin.change('/moved/a');
    await purge(weir, { tags: ['mine'] });
    expect(await seen(weir, '/moved/a')).toEqual(new Set(['/moved/a 1']));
  });

  it("an origin's changed URL: its entries are misses", async () => {
    await start();
    await stored('/a');
    await stop();
    const other = await startVersionedOrigin();
    onTestFinished(() => other.close());
    other.change('/a');
    const first = origin;
    origin = other;
    await start();
    origin = first;
    expect(await seen(weir, '/a')).toEqual(new Set(['/a 1']));
  });
});

describe('the identity of a state', () => {
  /** Stores, copies the state, purges, restores the copy and starts again; returns what is served then. */
  async function servedFromAnOldState(mechanisms: Mechanisms): Promise<string> {
    const coordinator = async (): Promise<{ url: string; coordinator: Coordinator }> => {
      const config = configOf(
        `
          listen: { port: 0, workers: 1 }
          admin: { port: 0 }
          cache: { memory: 1MiB, disk: { path: ./own, size: 64MiB } }
          origins: { app: { url: "${origin.url}" } }
          routes: [{ name: all, match: /* }]
        `,
        { directory: weir.folder },
      );
      const log = createLog({ level: 'silent', thread: 'test', fd: 1 });
      const started = await Coordinator.start({ config, clock: systemClock, mechanisms, log, version: '0' });
      if (started.kind === 'failed') throw new Error(started.reason);
      return { url: `http://127.0.0.1:${started.port}`, coordinator: started.coordinator };
    };
    const own = join(weir.folder, 'own');
    const first = await coordinator();
    await ask(`${first.url}/a`);
    await first.coordinator.stop(1_000);
    cpSync(join(own, 'state'), join(own, 'copy'), { recursive: true });
    const second = await coordinator();
    origin.change('/a');
    await ask(`${second.url}/a`, { method: 'POST' });
    await second.coordinator.stop(1_000);
    rmSync(join(own, 'state'), { recursive: true });
    cpSync(join(own, 'copy'), join(own, 'state'), { recursive: true });
    const third = await coordinator();
    const { body } = await ask(`${third.url}/a`);
    await third.coordinator.stop(1_000);
    return body;
  }

  it('separates a cache from a state that has not seen its invalidations', async () => {
    expect(await servedFromAnOldState(ALL_MECHANISMS)).toBe('/a 1');
  });

  it('is needed for that: without it, something stale is served', async () => {
    expect(await servedFromAnOldState({ ...ALL_MECHANISMS, identity: false, restoredCopies: false })).toBe(
      '/a 0',
    );
  });
});

import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { diskCallsOf } from '../../../proxy/store/disk/calls.ts';
import { CHUNK_BYTES, FORMAT_VERSION } from '../../../proxy/store/disk/format.ts';
import { openDiskWriter } from '../../../proxy/store/disk/open.ts';
import { openDiskReader } from '../../../proxy/store/disk/reader.ts';
import {
  bodyOf,
  commit,
  content,
  entry,
  entryId,
  appendContent,
  MIB,
  startsUntil,
  store,
} from './support/entries.ts';
import { callsParts, openDisk, openTables, scratchFolder, type OpenDisk } from './support/open-disk.ts';
import { afterPowerFailure, syncedMeta } from './support/power-failure.ts';

/** A folder with a closed cache of `count` entries, written under the first start. */
async function closedCache(count: number): Promise<string> {
  const path = scratchFolder();
  const disk = await openDisk(path);
  for (let n = 1; n <= count; n += 1) await store(disk.writer, n, { sizeBytes: n * 1000 });
  await disk.close();
  return path;
}

/** Counts the entries that are found with their content, and checks that each is as it was stored. */
function foundIn({ reader }: OpenDisk, count: number): number {
  let found = 0;
  for (let n = 1; n <= count; n += 1) {
    const [head] = reader.heads(entry(n).key);
    if (head === undefined) continue;
    const body = bodyOf(reader, head);
    if (body === null) continue;
    expect(head).toEqual(entry(n, { sizeBytes: n * 1000 }));
    expect(body).toEqual(content(n, n * 1000));
    found += 1;
  }
  return found;
}

describe('after a restart', () => {
  it('every stored entry is found and counted', async () => {
    const path = await closedCache(50);
    const disk = await openDisk(path, { starts: startsUntil(2) });
    expect(disk).toMatchObject({ trusted: true, report: [] });
    expect(foundIn(disk, 50)).toBe(50);
    expect(disk.writer.stats()).toMatchObject({ entries: 50, bytes: (50 * 51 * 1000) / 2 });
  });

  it('the chunks of incomplete entries are deleted', async () => {
    const path = scratchFolder();
    const first = await openDisk(path);
    await appendContent(first.writer, entryId(1), content(1, CHUNK_BYTES * 100));
    await first.close();
    const disk = await openDisk(path, { starts: startsUntil(2) });
    await disk.writer.idle();
    expect(disk.reader.chunk(entryId(1), 0)).toBeNull();
    expect(disk.reader.chunk(entryId(1), 99)).toBeNull();
    expect(disk.writer.stats().usedBytes).toBeLessThan(MIB / 4);
  });

  it('the cache is emptied where its file is larger than its new size', async () => {
    const path = await closedCache(100);
    expect(statSync(join(path, 'data.mdb')).size).toBeGreaterThan(4 * MIB);
    const disk = await openDisk(path, { starts: startsUntil(2), sizeBytes: 4 * MIB });
    expect(disk.report).toEqual(['the cache was emptied: its file is larger than its size may be now']);
    expect(disk.writer.stats().entries).toBe(0);
    expect(statSync(join(path, 'data.mdb')).size).toBeLessThan(MIB);
  });
});

describe('a power failure', () => {
  it('undoes what was committed and not synced, so that a removed entry is found again', async () => {
    const path = scratchFolder();
    const { writer } = await openDisk(path);
    await store(writer, 1, { sizeBytes: 1000 });
    await writer.synced();
    const synced = syncedMeta(path);
    await writer.remove(entryId(1), entry(1).key);
    const disk = await openDisk(afterPowerFailure(path, synced), { starts: startsUntil(2) });
    expect(disk.report).toEqual([]);
    expect(foundIn(disk, 1)).toBe(1);
  });

  it.each([
    ['removal', 'removeEntry', []],
    ['change that must be durable', 'updateEntry', [77]],
  ] as const)('undoes no %s that was answered: it is synced before', async (_, name, floors) => {
    const path = scratchFolder();
    const { tables, writer, reader } = openTables(path);
    await store(writer, 1);
    const sync = Promise.withResolvers<boolean>();
    Object.defineProperty(tables.root, 'flushed', { get: () => sync.promise });
    const { calls } = diskCallsOf(callsParts(writer, () => {}));
    const { id, key } = entry(1);
    const head = entry(1, { floor: 77 });
    const answer = Promise.resolve(
      name === 'removeEntry' ? calls.removeEntry({ id, key }) : calls.updateEntry({ head, isSynced: true }),
    );
    await expect.poll(() => reader.heads(key).map(({ floor }) => floor)).toEqual(floors);
    expect(await Promise.race([answer, nextTurn('not yet')])).toBe('not yet');
    sync.resolve(true);
    expect(await answer).toBe(true);
  });

  it('could undo a change that the writer refuses, so the call returns false and every worker drops the entry', async () => {
    const { writer, close } = await openDisk(scratchFolder());
    await store(writer, 1);
    const dropped: string[] = [];
    const { calls } = diskCallsOf(callsParts(writer, (_key, id) => dropped.push(id)));
    await close();
    const { id, key } = entry(1);
    expect(await calls.removeEntry({ id, key })).toBe(false);
    expect(await calls.updateEntry({ head: entry(1), isSynced: true })).toBe(false);
    expect(dropped).toEqual([id]);
  });
});

describe('a start', () => {
  it.each([
    ['under another state', ['another 1', 'another 2']],
    ['under the same start again, as with an older copy of the state', startsUntil(1)],
    ['under a copy of the state that has diverged', ['start 0', 'another 1', 'another 2']],
  ])('%s empties the cache', async (_, starts) => {
    const disk = await openDisk(await closedCache(3), { starts });
    const reason = 'it was last opened under another state, or a later start of this one';
    expect(disk).toMatchObject({ trusted: false, report: [`the cache was emptied: ${reason}`] });
    expect(foundIn(disk, 3)).toBe(0);
  });

  it('empties a cache of an earlier format', async () => {
    const path = await closedCache(3);
    const { tables, close } = openTables(path);
    const earlier = { format: FORMAT_VERSION - 1, start: startsUntil(1)[0] };
    await tables.about.put(Buffer.from('identity'), Buffer.from(JSON.stringify(earlier)));
    await close();
    const disk = await openDisk(path, { starts: startsUntil(2) });
    const report = [`the cache was emptied: its format is ${FORMAT_VERSION - 1}`];
    expect(disk).toMatchObject({ trusted: true, report });
    expect(foundIn(disk, 3)).toBe(0);
  });

  it('is recorded before anything is stored, so that an older copy of the state is detected', async () => {
    const path = await closedCache(3);
    await (await openDisk(path, { starts: startsUntil(7) })).close();
    expect((await openDisk(path, { starts: startsUntil(7) })).trusted).toBe(false);
  });
});

describe('a cache file that was changed while no process had it open', () => {
  const cases: Record<string, (file: string) => void> = {
    deleted: (file) => rmSync(file),
    empty: (file) => writeFileSync(file, ''),
    'cut to half': (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
    'cut within its first page': (file) => truncateSync(file, 1000),
    'replaced by text': (file) => writeFileSync(file, 'This is not a database.\n'.repeat(10_000)),
    zeros: (file) => writeFileSync(file, Buffer.alloc(statSync(file).size)),
  };

  it.each(Object.entries(cases))(
    '%s: the cache starts empty, reports damage and stores again',
    async (_name, damage) => {
      const path = await closedCache(20);
      damage(join(path, 'data.mdb'));
      const disk = await openDisk(path, { starts: startsUntil(2) });
      expect(foundIn(disk, 20)).toBe(0);
      expect(disk.report).toHaveLength(_name === 'deleted' || _name === 'empty' ? 0 : 1);
      expect(await store(disk.writer, 1, { sizeBytes: 1000 })).toBe('stored');
      expect(foundIn(disk, 20)).toBe(1);
    },
  );

  it('with any page overwritten yields intact entries only, and never ends the process', async () => {
    const path = await closedCache(40);
    const whole = join(scratchFolder(), 'whole');
    cpSync(path, whole, { recursive: true });
    const pages = Math.floor(statSync(join(whole, 'data.mdb')).size / 4096);
    for (let page = 0; page < pages; page += 9) {
      const damaged = join(scratchFolder(), 'damaged');
      cpSync(whole, damaged, { recursive: true });
      const file = openSync(join(damaged, 'data.mdb'), 'r+');
      writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
      closeSync(file);
      const disk = await openDisk(damaged, { starts: startsUntil(2) });
      foundIn(disk, 40);
      for (let n = 1; n <= 40; n += 1) await disk.writer.remove(entryId(n), entry(n).key);
      expect(await store(disk.writer, 100, { sizeBytes: 50_000 })).toBe('stored');
      await disk.writer.idle();
      await disk.close();
    }
  });

  it('with a flipped bit in a body yields no such chunk, and counts it as corrupt', async () => {
    const path = scratchFolder();
    const first = await openDisk(path);
    const second = Buffer.alloc(CHUNK_BYTES * 2, 'second');
    await appendContent(first.writer, entryId(1), Buffer.concat([content(1, CHUNK_BYTES), second]));
    await commit(first.writer, entry(1, { sizeBytes: CHUNK_BYTES * 3 }));
    await first.close();
    const file = join(path, 'data.mdb');
    const bytes = readFileSync(file);
    const at = bytes.indexOf(second.subarray(0, 500));
    bytes[at + 300]! ^= 1;
    writeFileSync(file, bytes);
    const disk = await openDisk(path, { starts: startsUntil(2) });
    expect(disk.report).toEqual([]);
    const [head] = disk.reader.heads(entry(1).key);
    expect(disk.reader.chunk(head!.id, 0)).not.toBeNull();
    expect(disk.reader.chunk(head!.id, 1)).toBeNull();
    expect(disk.reader.counters.corrupt).toBe(1);
  });
});

describe("a path that can't be used", () => {
  it('is reported as the reason of a failure, not thrown', async () => {
    const folder = scratchFolder();
    writeFileSync(join(folder, 'file'), '');
    const opening = await openDiskWriter({
      path: join(folder, 'file', 'cache'),
      sizeBytes: 8 * MIB,
      queueBytes: 2 ** 26,
      workers: 1,
      starts: startsUntil(1),
      log: () => {},
    });
    expect(opening).toEqual({ kind: 'failed', reason: expect.stringContaining('ENOTDIR') });
  });

  it('is, for a reader, one that no writer has opened', () => {
    const folder = join(scratchFolder(), 'none');
    mkdirSync(folder);
    expect(openDiskReader({ path: folder })).toEqual({ kind: 'failed', reason: expect.any(String) });
  });
});

it('the folder of the cache and its file are created for their owner alone', async () => {
  const path = join(scratchFolder(), 'cache');
  await openDisk(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, 'data.mdb')).mode & 0o777).toBe(0o600);
});

import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { oldestSnapshotLag, openForReading } from '../../../proxy/store/disk/environment.ts';
import { CHUNK_BYTES } from '../../../proxy/store/disk/format.ts';
import { measure } from '../../../proxy/store/disk/record.ts';
import { createUsedEntries } from '../../../proxy/store/disk/used-entries.ts';
import { DiskQuota } from '../../../proxy/store/disk/quota.ts';
import {
  bodyOf,
  content,
  entry,
  entryId,
  appendContent,
  META,
  MIB,
  scanned,
  startsUntil,
  store,
} from './support/entries.ts';
import { openDisk, scratchFolder } from './support/open-disk.ts';

describe('the size of the cache', () => {
  it('bounds the file while many times as much is stored, and a tenth of it stays free', async () => {
    const path = scratchFolder();
    const sizeBytes = 8 * MIB;
    const { writer, reader } = await openDisk(path, { sizeBytes });
    let largestFileBytes = 0;
    let storedBytes = 0;
    for (let n = 1; storedBytes < sizeBytes * 4; n += 1) {
      const size = bodySize(n);
      expect(await store(writer, n, { sizeBytes: size })).toBe('stored');
      storedBytes += size;
      largestFileBytes = Math.max(largestFileBytes, statSync(join(path, 'data.mdb')).size);
    }
    expect(largestFileBytes).toBeLessThanOrEqual(sizeBytes);
    await writer.idle();
    const stats = writer.stats();
    expect(stats.usedBytes).toBeLessThanOrEqual(sizeBytes * 0.9);
    expect(stats.bytes).toBeGreaterThan(sizeBytes * 0.5);
    expect(stats).toMatchObject({ refused: 0, fullErrors: 0, corrupt: 0, storing: 'on' });
    let bytes = 0;
    for (const head of await scanned(writer)) {
      expect(bodyOf(reader, head)).toEqual(content(Number.parseInt(head.id, 16), head.sizeBytes));
      bytes += head.sizeBytes;
    }
    expect(bytes).toBe(stats.bytes);
  });

  it('bounds the file while the heads of all entries are changed at once', async () => {
    const { writer } = await openDisk(scratchFolder(), { sizeBytes: 16 * MIB });
    const meta = { ...META, fields: ['X-Large', 'y'.repeat(30_000)] };
    for (let n = 1; n <= 700; n += 1) await store(writer, n, { meta, sizeBytes: 100 });
    await writer.idle();
    const heads = await scanned(writer);
    const changes = heads.map((head) =>
      writer.update(head.id, head.key, (known) => ({ ...known, floor: 9 }), measure(head).headBytes),
    );
    const outcomes = await Promise.all(changes);
    await writer.idle();
    expect(outcomes.filter((outcome) => outcome === 'done').length).toBeGreaterThan(100);
    expect(writer.stats().fileBytes).toBeLessThanOrEqual(16 * MIB);
    expect(await store(writer, 701)).toBe('stored');
  });

  it('evicts in the order of storing, except entries that were used since', async () => {
    const { writer, reader } = await openDisk(scratchFolder(), { sizeBytes: 4 * MIB });
    const sizeBytes = 100_000;
    for (let n = 1; n <= 20; n += 1) await store(writer, n, { sizeBytes });
    const used = createUsedEntries(writer.shared.used);
    for (const n of [1, 3, 999]) used.set(entryId(n));
    for (let n = 21; n <= 40; n += 1) await store(writer, n, { sizeBytes });
    const kept = Array.from({ length: 40 }, (_, i) => i + 1).filter(
      (n) => reader.heads(entry(n).key).length > 0,
    );
    expect(kept).toContain(1);
    expect(kept).toContain(3);
    expect(kept).not.toContain(2);
    expect(kept.slice(2)).toEqual(
      Array.from({ length: kept.length - 2 }, (_, i) => 40 - kept.length + 3 + i),
    );
    expect(writer.stats().evictions).toBe(40 - kept.length);
  });

  it('evicts in the order of storing also after a restart', async () => {
    const folder = scratchFolder();
    const options = { sizeBytes: 4 * MIB };
    const before = await openDisk(folder, options);
    for (let n = 1; n <= 15; n += 1) await store(before.writer, n, { sizeBytes: 200_000 });
    await before.close();
    const { writer, reader } = await openDisk(folder, { ...options, starts: startsUntil(2) });
    for (let n = 16; n <= 30; n += 1) await store(writer, n, { sizeBytes: 200_000 });
    await writer.idle();
    const kept = Array.from({ length: 30 }, (_, n) => n + 1).filter(
      (n) => reader.heads(entry(n).key).length > 0,
    );
    expect(kept).toContain(30);
    expect(kept).not.toContain(1);
  });

  it('is not given to an entry that would take more than half of it', async () => {
    const { writer } = await openDisk(scratchFolder(), { sizeBytes: 4 * MIB });
    await store(writer, 1, { sizeBytes: MIB });
    expect(await store(writer, 2, { sizeBytes: 2 * MIB + 1 })).toBe('refused');
    await writer.idle();
    expect(writer.stats()).toMatchObject({ entries: 1, refused: 1, evictions: 0 });
  });

  it('is refused while the removed entries are still read, and given once they are unpinned', async () => {
    const { writer } = await openDisk(scratchFolder(), { sizeBytes: 4 * MIB });
    let n = 0;
    do {
      n += 1;
      writer.pin(entryId(n));
    } while ((await store(writer, n, { sizeBytes: 400_000 })) === 'stored');
    expect(n).toBeLessThan(12);
    expect(writer.stats().refused).toBe(1);
    for (let pinned = 1; pinned <= n; pinned += 1) writer.unpin(entryId(pinned));
    expect(await store(writer, n + 1, { sizeBytes: 400_000 })).toBe('stored');
  });
});

describe('a snapshot that a reader keeps open', () => {
  it('does not make the file grow beyond its size: new entries are refused until the snapshot is closed', async () => {
    const path = scratchFolder();
    const sizeBytes = 8 * MIB;
    const { writer } = await openDisk(path, { sizeBytes });
    let next = 1;
    const storeSome = async (count: number): Promise<string[]> => {
      const outcomes: string[] = [];
      for (const end = next + count; next < end; next += 1) {
        outcomes.push(
          await store(writer, next, { sizeBytes: next % 10 === 0 ? 60_000 : 300 + (next % 7) * 400 }),
        );
      }
      return outcomes;
    };
    expect(new Set(await storeSome(1_200))).toEqual(new Set(['stored']));
    const tables = openForReading(path);
    const snapshot = tables.root.useReadTransaction();
    tables.rows.get(Buffer.alloc(16), { transaction: snapshot });
    expect(oldestSnapshotLag(tables)).toBe(0);
    expect(await storeSome(700)).toContain('refused');
    expect(oldestSnapshotLag(tables)).toBeGreaterThan(1);
    for (let n = next - 200; n < next; n += 1) await writer.remove(entryId(n), entry(n).key);
    expect(statSync(join(path, 'data.mdb')).size).toBeLessThanOrEqual(sizeBytes);
    snapshot.done();
    await writer.idle();
    expect(oldestSnapshotLag(tables)).toBe(0);
    expect(new Set(await storeSome(700))).toEqual(new Set(['stored']));
    expect(statSync(join(path, 'data.mdb')).size).toBeLessThanOrEqual(sizeBytes);
    await tables.root.close();
  });

  it('is not left behind by a thread that has read and is blocked', async () => {
    const path = scratchFolder();
    const { writer } = await openDisk(path);
    await store(writer, 1);
    const resume = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./support/stopped-reader.ts', import.meta.url), {
      workerData: { path, key: entry(1).key, resume },
    });
    onTestFinished(async () => void (await worker.terminate()));
    expect((await once(worker, 'message'))[0]).toEqual([entryId(1)]);
    for (let n = 2; n <= 20; n += 1) await store(writer, n);
    const tables = openForReading(path);
    expect(oldestSnapshotLag(tables)).toBe(0);
    await tables.root.close();
    Atomics.store(resume, 0, 1);
    Atomics.notify(resume, 0);
    await once(worker, 'exit');
  });
});

describe('a file that is larger than its size', () => {
  it('stores new entries while little of it is in use', () => {
    const quota = new DiskQuota(16 * MIB);
    const pages = (16 * MIB) / 4096;
    quota.observe({ used: pages * 0.2, file: pages * 1.2 }, () => 0);
    expect(quota.admits(60_000, 0)).toBe(true);
    quota.observe({ used: pages * 0.3, file: pages * 1.2 }, () => 0);
    quota.observe({ used: pages * 0.3, file: pages * 1.2 }, () => 0);
    expect([quota.admits(60_000, 0), quota.excessPages(0) > 0]).toEqual([false, true]);
  });
});

describe('entries that are evicted last', () => {
  it('outlive all others, and new entries are refused with an alarm when they fill the cache', async () => {
    const { writer, reader, events } = await openDisk(scratchFolder(), { sizeBytes: 4 * MIB });
    const sizeBytes = 200_000;
    for (let n = 1; n <= 5; n += 1) await store(writer, n, { sizeBytes, evictLast: true });
    for (let n = 6; n <= 40; n += 1) expect(await store(writer, n, { sizeBytes })).toBe('stored');
    expect(events).toEqual([]);
    const outcomes = [];
    for (let n = 41; n <= 60; n += 1) outcomes.push(await store(writer, n, { sizeBytes, evictLast: true }));
    const stored = outcomes.filter((outcome) => outcome === 'stored').length;
    expect(outcomes).toEqual([...Array(stored).fill('stored'), ...Array(20 - stored).fill('refused')]);
    expect(stored).toBeGreaterThan(5);
    expect(await store(writer, 61, { sizeBytes })).toBe('refused');
    expect(events).toEqual([{ kind: 'evict-last-full' }]);
    expect(writer.stats()).toMatchObject({ entries: 5 + stored, evictLastFull: true });
    for (let n = 1; n <= 5; n += 1) expect(reader.heads(entry(n).key)).toHaveLength(1);
    for (let n = 1; n <= 5; n += 1) await writer.remove(entryId(n), entry(n).key);
    expect(await store(writer, 62, { sizeBytes })).toBe('stored');
    expect(events).toEqual([{ kind: 'evict-last-full' }, { kind: 'evict-last-room' }]);
  });
});

describe('the coordinator', () => {
  it('runs other work between the transactions of a large body', async () => {
    const { writer } = await openDisk(scratchFolder());
    let turns = 0;
    const count = setInterval(() => (turns += 1), 0);
    expect(await appendContent(writer, entryId(1), content(1, CHUNK_BYTES * 600))).toBe(true);
    clearInterval(count);
    expect(turns).toBeGreaterThan(8);
  });
});

/** From a few hundred bytes to a few hundred thousand, mostly small. */
function bodySize(n: number): number {
  const spread = (n * 7919) % 100;
  return spread < 70 ? 200 + spread * 290 : spread < 97 ? spread * 1_800 : spread * 4_000;
}

import { describe, expect, it } from 'vitest';
import { digestOf, INLINE_BYTES, numberKey, SMALL_BYTES } from '../../../proxy/store/disk/format.ts';
import type { Table } from '../../../proxy/store/disk/environment.ts';
import { audit } from './support/audit.ts';
import { entry, entryId, MIB, store } from './support/entries.ts';
import { openTables, scratchFolder } from './support/open-disk.ts';

/** More than the cache of `openTables` holds. */
const MANY = 1_000;

async function storeMany(writer: Parameters<typeof store>[0]): Promise<void> {
  for (let n = 100; n < 100 + MANY; n += 1) await store(writer, n, { sizeBytes: 20_000 });
  await writer.idle();
}

async function flip(table: Table, key: Buffer, at: number): Promise<void> {
  const value = Buffer.from(table.get(key)!);
  value[at]! ^= 0x80;
  await table.put(key, value);
}

describe('eviction', () => {
  it('removes an entry with a damaged record whole, with row, update and chunks', async () => {
    const { tables, writer } = openTables(scratchFolder());
    const sizes = [100, INLINE_BYTES + 1, SMALL_BYTES + 1, 2 * MIB];
    for (const [i, sizeBytes] of sizes.entries()) await store(writer, i + 1, { sizeBytes });
    for (const [i] of sizes.entries()) {
      await writer.update(entryId(i + 1), entry(i + 1).key, (head) => ({ ...head, floor: 6 }), 500);
      await flip(tables.records, numberKey(i + 1), 30);
    }
    await storeMany(writer);
    expect(writer.stats().evictions).toBeGreaterThan(sizes.length);
    expect(audit(tables)).toEqual([]);
  });

  it('removes an entry whose row is damaged whole, and the row', async () => {
    const { tables, writer } = openTables(scratchFolder());
    await store(writer, 1, { sizeBytes: SMALL_BYTES + 1 });
    await writer.update(entryId(1), entry(1).key, (head) => ({ ...head, floor: 6 }), 500);
    await flip(tables.rows, digestOf(entry(1).key), 9);
    await storeMany(writer);
    expect(audit(tables)).toEqual([]);
  });
});

describe('damaged totals', () => {
  it.each(['hand', 'bytes'])('of %s are made anew, and storing and eviction go on', async (name) => {
    const path = scratchFolder();
    const before = openTables(path);
    await storeMany(before.writer);
    // The sign of a number.
    await flip(before.tables.about, Buffer.from(name), 7);
    const { bytes, entries } = before.writer.stats();
    await before.close();
    const { tables, writer } = openTables(path);
    expect(writer.stats()).toMatchObject({ bytes, entries });
    for (let n = 5_000; n < 5_000 + MANY; n += 1) {
      expect(await store(writer, n, { sizeBytes: 20_000 })).toBe('stored');
    }
    expect(writer.stats().evictions).toBeGreaterThan(0);
    expect(audit(tables)).toEqual([]);
  });
});

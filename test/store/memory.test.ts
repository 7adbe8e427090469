import { describe, expect, it } from 'vitest';
import type { EntryHead } from '../../proxy/store/entry-head.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';

let ids = 0;

function entry(key: string, bytes: number, language: string | null = null): StoredEntry {
  ids += 1;
  const head = {
    id: String(ids).padStart(16, '0'),
    key,
    url: key,
    tags: ['all'],
    tagHashes: new Uint32Array(2),
    floor: 0,
    sizeBytes: bytes,
    meta: {
      fields: [],
      responseTags: [],
      vary: language === null ? [] : ['accept-language'],
      varyValues: language === null ? [] : [language],
    },
  } as unknown as EntryHead;
  return new StoredEntry(head, Buffer.alloc(bytes), []);
}

const none = (): boolean => false;
const KIB = 1024;

describe('the memory tier', () => {
  it('keeps its bound in bytes, which includes the overhead of entries, and evicts the least recently used', () => {
    const tier = createMemoryTier(100 * KIB, 0.5);
    for (let i = 0; i < 100; i += 1) tier.put(entry(`/${i}`, 4 * KIB), 8, none);
    expect(tier.stats.bytes).toBeLessThanOrEqual(100 * KIB);
    expect(tier.stats.bytes).toBeGreaterThan(80 * KIB);
    expect(tier.stats.entries * 4 * KIB).toBeLessThan(tier.stats.bytes);
    expect(tier.stats.evictions).toBe(100 - tier.stats.entries);
    expect(tier.get('/0')).toEqual([]);
    expect(tier.get('/99')).toHaveLength(1);
  });

  it('refuses an entry that is larger than its share of the tier', () => {
    const tier = createMemoryTier(100 * KIB, 0.5);
    expect(tier.admits(60 * KIB)).toBe(false);
    expect(tier.put(entry('/large', 60 * KIB), 8, none)).toBe(false);
    expect(tier.stats).toMatchObject({ bytes: 0, entries: 0 });
  });

  it('keeps the variants of a key newest first, and removes the oldest beyond max-variants', () => {
    const tier = createMemoryTier(100 * KIB, 0.5);
    for (const language of ['de', 'en', 'fr']) tier.put(entry('/a', 10, language), 2, none);
    expect(tier.get('/a').map(({ meta }) => meta.varyValues[0])).toEqual(['fr', 'en']);
    expect(tier.stats).toMatchObject({ entries: 2, variantEvictions: 1 });
  });

  it('replaces the entries that the caller selects, and updates an entry only while it has one with that id', () => {
    const tier = createMemoryTier(100 * KIB, 0.5);
    const first = entry('/a', 10);
    tier.put(first, 8, none);
    const second = entry('/a', 20);
    tier.put(second, 8, (other) => other === first);
    expect(tier.get('/a')).toEqual([second]);
    expect(tier.update(new StoredEntry(first.head, first.content, []))).toBe(false);
    const changed = new StoredEntry({ ...second.head, floor: 7 }, second.content, []);
    expect(tier.update(changed)).toBe(true);
    expect(tier.get('/a')[0]!.floor).toBe(7);
    tier.remove('/a', second.head.id);
    expect(tier.stats).toMatchObject({ bytes: 0, entries: 0 });
  });

  it('evicts old entries for a reservation, and frees the room when the reservation is released', () => {
    const tier = createMemoryTier(100 * KIB, 0.5);
    for (let i = 0; i < 20; i += 1) tier.put(entry(`/${i}`, 3 * KIB), 8, none);
    const before = tier.stats.entries;
    const room = tier.reserve(() => {});
    expect(room.grow(60 * KIB)).toBe(false);
    expect(room.grow(50 * KIB)).toBe(true);
    expect(tier.stats.bytes).toBeLessThanOrEqual(100 * KIB);
    expect(tier.stats.entries).toBeLessThan(before);
    room.release();
    expect(tier.stats.bytes).toBeLessThanOrEqual(50 * KIB);
  });

  it('calls `onLost` when a reservation is evicted', () => {
    const tier = createMemoryTier(100 * KIB, 0.5);
    let lost = 0;
    const room = tier.reserve(() => {
      lost += 1;
    });
    room.grow(40 * KIB);
    for (let i = 0; i < 40; i += 1) tier.put(entry(`/${i}`, 4 * KIB), 8, none);
    expect(lost).toBe(1);
  });

  it('stores and reserves nothing at 0 bytes', () => {
    const tier = createMemoryTier(0, 0.5);
    expect(tier.put(entry('/a', 1), 8, none)).toBe(false);
    expect(tier.get('/a')).toEqual([]);
    expect(tier.reserve(() => {}).grow(1)).toBe(false);
  });
});

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

describe('the memory level', () => {
  it('keeps its bound in bytes, counting entries whole, and lets the least recently used go', () => {
    const level = createMemoryTier(100 * KIB, 0.5);
    for (let i = 0; i < 100; i += 1) level.put(entry(`/${i}`, 4 * KIB), 8, none);
    expect(level.stats.bytes).toBeLessThanOrEqual(100 * KIB);
    expect(level.stats.bytes).toBeGreaterThan(80 * KIB);
    expect(level.stats.entries * 4 * KIB).toBeLessThan(level.stats.bytes);
    expect(level.stats.evictions).toBe(100 - level.stats.entries);
    expect(level.get('/0')).toEqual([]);
    expect(level.get('/99')).toHaveLength(1);
  });

  it('takes no entry beyond its largest share, and says so', () => {
    const level = createMemoryTier(100 * KIB, 0.5);
    expect(level.admits(60 * KIB)).toBe(false);
    expect(level.put(entry('/large', 60 * KIB), 8, none)).toBe(false);
    expect(level.stats).toMatchObject({ bytes: 0, entries: 0 });
  });

  it('keeps variants together, newest first, the oldest going beyond max-variants', () => {
    const level = createMemoryTier(100 * KIB, 0.5);
    for (const language of ['de', 'en', 'fr']) level.put(entry('/a', 10, language), 2, none);
    expect(level.get('/a').map(({ meta }) => meta.varyValues[0])).toEqual(['fr', 'en']);
    expect(level.stats).toMatchObject({ entries: 2, variantEvictions: 1 });
  });

  it('replaces what it is told to, and updates an entry only while that very one is there', () => {
    const level = createMemoryTier(100 * KIB, 0.5);
    const first = entry('/a', 10);
    level.put(first, 8, none);
    const second = entry('/a', 20);
    level.put(second, 8, (other) => other === first);
    expect(level.get('/a')).toEqual([second]);
    expect(level.update(new StoredEntry(first.head, first.content, []))).toBe(false);
    const changed = new StoredEntry({ ...second.head, floor: 7 }, second.content, []);
    expect(level.update(changed)).toBe(true);
    expect(level.get('/a')[0]!.floor).toBe(7);
    level.remove('/a', second.head.id);
    expect(level.stats).toMatchObject({ bytes: 0, entries: 0 });
  });

  it('makes room for what is still coming at the cost of what is old, and gives it back', () => {
    const level = createMemoryTier(100 * KIB, 0.5);
    for (let i = 0; i < 20; i += 1) level.put(entry(`/${i}`, 3 * KIB), 8, none);
    const before = level.stats.entries;
    const room = level.reserve(() => {});
    expect(room.grow(60 * KIB)).toBe(false);
    expect(room.grow(50 * KIB)).toBe(true);
    expect(level.stats.bytes).toBeLessThanOrEqual(100 * KIB);
    expect(level.stats.entries).toBeLessThan(before);
    room.release();
    expect(level.stats.bytes).toBeLessThanOrEqual(50 * KIB);
  });

  it('tells whoever reserved room when that had to be given up', () => {
    const level = createMemoryTier(100 * KIB, 0.5);
    let lost = 0;
    const room = level.reserve(() => {
      lost += 1;
    });
    room.grow(40 * KIB);
    for (let i = 0; i < 40; i += 1) level.put(entry(`/${i}`, 4 * KIB), 8, none);
    expect(lost).toBe(1);
  });

  it('is off at 0 bytes', () => {
    const level = createMemoryTier(0, 0.5);
    expect(level.put(entry('/a', 1), 8, none)).toBe(false);
    expect(level.get('/a')).toEqual([]);
    expect(level.reserve(() => {}).grow(1)).toBe(false);
  });
});

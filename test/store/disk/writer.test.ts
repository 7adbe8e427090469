import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { EntryHead } from '../../../proxy/store/entry-head.ts';
import { CHUNK_BYTES, INLINE_BYTES, SMALL_BYTES } from '../../../proxy/store/disk/format.ts';
import {
  bodyOf,
  chunksOf,
  commit,
  content,
  entry,
  entryId,
  appendContent,
  META,
  scanned,
  startsUntil,
  store,
} from './support/entries.ts';
import { openDisk, scratchFolder } from './support/open-disk.ts';

describe('the write queue', () => {
  it.each([
    ['content', 1_000],
    ['heads alone', 0],
  ])('is bounded by the bytes of %s, and refuses and counts the rest', async (_, sizeBytes) => {
    const { writer } = await openDisk(scratchFolder(), { queueBytes: 64 * 1024 });
    const storing = Array.from({ length: 500 }, (_each, n) => store(writer, n + 1, { sizeBytes }));
    const stored = (await Promise.all(storing)).filter((outcome) => outcome === 'stored').length;
    expect(stored).toBeGreaterThan(0);
    expect(stored).toBeLessThan(100);
    await writer.idle();
    expect(writer.stats()).toMatchObject({
      entries: stored,
      bytes: stored * sizeBytes,
      refused: 500 - stored,
    });
    expect(await store(writer, 501, { sizeBytes })).toBe('stored');
  });

  it('accepts the head of an entry whose content it has accepted, however full it is', async () => {
    const { writer } = await openDisk(scratchFolder(), { queueBytes: 64 * 1024 });
    const head = entry(1, { sizeBytes: SMALL_BYTES + 1 });
    for (const [index, chunk] of chunksOf(content(1, head.sizeBytes)).entries()) {
      if (index === 0) writer.begin(head.id);
      expect(await writer.append(head.id, index, chunk)).toBe(true);
    }
    const others = Array.from({ length: 500 }, (_each, n) => store(writer, n + 2, { sizeBytes: 1_000 }));
    const committed = commit(writer, head);
    expect(await Promise.all(others)).toContain('refused');
    expect(await committed).toBe('stored');
  });

  it('is bounded by the bytes of changed heads, and a refused change leaves the head as it was', async () => {
    const { writer, reader } = await openDisk(scratchFolder(), { queueBytes: 64 * 1024 });
    await store(writer, 1);
    const changes = Array.from({ length: 100 }, () => writer.update(entryId(1), entry(1).key, raise, 10_000));
    const outcomes = await Promise.all(changes);
    expect(outcomes.filter((outcome) => outcome === 'done').length).toBe(6);
    expect(outcomes.filter((outcome) => outcome === 'refused').length).toBe(94);
    expect(await writer.update(entryId(1), entry(1).key, raise, 65_536)).toBe('refused');
    expect(reader.heads(entry(1).key)).toEqual([entry(1, { floor: 77 })]);
  });

  it('is not bounded for removals', async () => {
    const { writer } = await openDisk(scratchFolder(), { queueBytes: 64 * 1024 });
    for (let n = 1; n <= 200; n += 1) expect(await store(writer, n, { sizeBytes: 100 })).toBe('stored');
    const removed = Array.from({ length: 200 }, (_each, n) =>
      writer.remove(entryId(n + 1), entry(n + 1).key),
    );
    expect(await Promise.all(removed)).toEqual(Array(200).fill('done'));
  });
});

describe('a stored entry', () => {
  it('is found under its key, whole and unchanged', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    const sizeBytes = CHUNK_BYTES * 3 + 17;
    expect(await store(writer, 1, { sizeBytes })).toBe('stored');
    const heads = reader.heads(entry(1).key);
    expect(heads).toEqual([entry(1, { sizeBytes })]);
    expect(bodyOf(reader, heads[0]!)).toEqual(content(1, sizeBytes));
    expect(reader.chunk(entryId(1), 4)).toBeNull();
    expect(reader.find(entry(1).key)).toEqual([{ head: heads[0], content: null }]);
  });

  it.each([0, 1, INLINE_BYTES, INLINE_BYTES + 1, SMALL_BYTES, SMALL_BYTES + 1, CHUNK_BYTES * 3])(
    'may have content of %d bytes',
    async (sizeBytes) => {
      const { writer, reader } = await openDisk(scratchFolder());
      expect(await store(writer, 1, { sizeBytes })).toBe('stored');
      const [head] = reader.heads(entry(1).key);
      expect(bodyOf(reader, head!)).toEqual(content(1, sizeBytes));
      const withIt = reader.find(entry(1).key)[0]!.content;
      expect(withIt).toEqual(sizeBytes <= SMALL_BYTES ? content(1, sizeBytes) : null);
      expect(writer.stats().bytes).toBe(sizeBytes);
      await writer.remove(entryId(1), entry(1).key);
      await writer.idle();
      expect(reader.content(entry(1).key, entryId(1))).toBeNull();
      expect(writer.stats()).toMatchObject({ entries: 0, bytes: 0 });
    },
  );

  it('returns content that later reads and writes do not change', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await store(writer, 1, { sizeBytes: 1_000 });
    await store(writer, 2, { sizeBytes: 20_000 });
    const contents = [1, 2].map((n) => reader.find(entry(n).key)[0]!.content!);
    await writer.remove(entryId(1), entry(1).key);
    await writer.remove(entryId(2), entry(2).key);
    for (let n = 3; n < 40; n += 1) await store(writer, n, { sizeBytes: n * 900 });
    for (let n = 3; n < 40; n += 1) reader.find(entry(n).key);
    expect(contents.map((each) => Buffer.from(each))).toEqual([content(1, 1_000), content(2, 20_000)]);
  });

  it('may have a key and a head of any length', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    const key = `shop /${'x'.repeat(20_000)}`;
    const meta = { ...META, fields: ['X-Long', 'y'.repeat(50_000)] };
    expect(await store(writer, 1, { key, meta })).toBe('stored');
    expect(reader.heads(key)).toEqual([entry(1, { key, meta })]);
  });

  it('has chunks that stay unchanged while others are read', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await appendContent(writer, entryId(1), content(1, CHUNK_BYTES));
    await appendContent(writer, entryId(2), content(2, CHUNK_BYTES));
    const first = reader.chunk(entryId(1), 0)!;
    reader.chunk(entryId(2), 0);
    expect(Buffer.from(first)).toEqual(content(1, CHUNK_BYTES));
  });

  it('is readable chunk by chunk before its head is committed', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    writer.begin(entryId(1));
    expect(await writer.append(entryId(1), 0, content(1, CHUNK_BYTES))).toBe(true);
    expect(Buffer.from(reader.chunk(entryId(1), 0)!)).toEqual(content(1, CHUNK_BYTES));
    expect(reader.heads(entry(1).key)).toEqual([]);
  });
});

describe('an incomplete entry', () => {
  it('is refused where content is missing', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await appendContent(writer, entryId(1), content(1, SMALL_BYTES + 1));
    expect(await commit(writer, entry(1, { sizeBytes: SMALL_BYTES + 2 }))).toBe('refused');
    expect(reader.heads(entry(1).key)).toEqual([]);
    await writer.idle();
    expect(reader.chunk(entryId(1), 0)).toBeNull();
  });

  it('is lost where a chunk is out of order, follows a short one, or belongs to an entry that was not begun', async () => {
    const { writer } = await openDisk(scratchFolder());
    writer.begin(entryId(1));
    expect(await writer.append(entryId(1), 1, content(1, 10))).toBe(false);
    expect(await writer.append(entryId(1), 0, content(1, 10))).toBe(false);
    writer.begin(entryId(2));
    expect(await writer.append(entryId(2), 0, content(1, 10))).toBe(true);
    expect(await writer.append(entryId(2), 1, content(1, 10))).toBe(false);
    expect(await writer.append(entryId(3), 0, content(1, 10))).toBe(false);
  });

  it('leaves no chunks when it is aborted', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    const before = writer.stats().usedBytes;
    await appendContent(writer, entryId(1), content(1, CHUNK_BYTES * 40));
    expect(writer.stats().usedBytes).toBeGreaterThan(before + CHUNK_BYTES * 40);
    writer.abort(entryId(1));
    await writer.idle();
    expect(reader.chunk(entryId(1), 0)).toBeNull();
    expect(writer.stats().usedBytes).toBeLessThan(before + CHUNK_BYTES * 2);
    expect(await commit(writer, entry(1, { sizeBytes: CHUNK_BYTES * 40 }))).toBe('refused');
  });
});

describe('small entries', () => {
  it('wait for others to share a transaction, unless something else is to be done', async () => {
    const { writer, reader } = await openDisk(scratchFolder(), { lingerMs: 60_000 });
    const stored = [1, 2, 3].map((n) => store(writer, n));
    await nextTurn();
    expect(reader.heads(entry(1).key)).toEqual([]);
    expect(await writer.remove(entryId(2), entry(2).key)).toBe('done');
    expect(await Promise.all(stored)).toEqual(['stored', 'stored', 'stored']);
    expect([1, 2, 3].map((n) => reader.heads(entry(n).key).length)).toEqual([1, 0, 1]);
  });

  it('wait no longer than they may, and not until the cache closes', async () => {
    const path = scratchFolder();
    const first = await openDisk(path, { lingerMs: 5 });
    expect(await store(first.writer, 1)).toBe('stored');
    await first.close();
    const second = await openDisk(path, { lingerMs: 60_000, starts: startsUntil(2) });
    const stored = store(second.writer, 2);
    await second.close();
    expect(await stored).toBe('stored');
  });

  it('wait less where many of them do', async () => {
    const { writer } = await openDisk(scratchFolder(), { lingerMs: 60_000 });
    const stored = Array.from({ length: 256 }, (_each, n) => store(writer, n + 1));
    expect(new Set(await Promise.all(stored))).toEqual(new Set(['stored']));
  });
});

describe('variants', () => {
  it('coexist, and a newer entry replaces the older one of the same variant', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await store(writer, 1, variant(1, 'a'));
    await store(writer, 2, variant(2, 'b'));
    await store(writer, 3, variant(3, 'a'));
    expect(reader.heads('k').map((head) => head.id)).toEqual([entryId(2), entryId(3)]);
    await writer.idle();
    expect(writer.stats()).toMatchObject({ entries: 2, bytes: 20, variantsRemoved: 0 });
    expect(reader.chunk(entryId(1), 0)).toBeNull();
  });

  it('with a lower floor do not replace those with a higher one', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await store(writer, 1, variant(1, 'a', { floor: 9 }));
    expect(await store(writer, 2, variant(2, 'a', { floor: 8 }))).toBe('refused');
    expect(await store(writer, 3, variant(3, 'a', { floor: 9 }))).toBe('stored');
    expect(reader.heads('k').map((head) => head.id)).toEqual([entryId(3)]);
  });

  it('beyond the limit replace the one that was stored first', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    for (const n of [3, 1, 2]) await store(writer, n, variant(n, `v${n}`), 2);
    expect(reader.heads('k').map((head) => head.id)).toEqual([entryId(1), entryId(2)]);
    expect(writer.stats()).toMatchObject({ entries: 2, variantsRemoved: 1 });
  });
});

describe('a committed entry', () => {
  it('is updated under its own id and key only', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await store(writer, 1);
    expect(await writer.update(entryId(1), entry(1).key, raise, 500)).toBe('done');
    expect(await writer.update(entryId(2), entry(1).key, raise, 500)).toBe('absent');
    expect(await writer.update(entryId(1), 'another', raise, 500)).toBe('absent');
    expect(reader.heads(entry(1).key)).toEqual([entry(1, { floor: 77 })]);
  });

  it('rejects an update whose change throws, and the writer continues', async () => {
    const { writer } = await openDisk(scratchFolder());
    await store(writer, 1);
    await expect(writer.update(entryId(1), entry(1).key, failToChange, 500)).rejects.toThrow('a bug');
    expect(await store(writer, 2)).toBe('stored');
    expect(writer.stats()).toMatchObject({ entries: 2, bytes: 20 });
  });

  it('is not found once it is removed', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await store(writer, 1);
    expect(await writer.remove(entryId(1), 'another')).toBe('absent');
    expect(await writer.remove(entryId(1), entry(1).key)).toBe('done');
    expect(await writer.remove(entryId(1), entry(1).key)).toBe('absent');
    expect(reader.heads(entry(1).key)).toEqual([]);
    expect(writer.stats()).toMatchObject({ entries: 0, bytes: 0 });
  });

  it('keeps its chunks while a reader has it pinned, and no longer', async () => {
    const { writer, reader } = await openDisk(scratchFolder());
    await store(writer, 1, { sizeBytes: CHUNK_BYTES * 3 });
    writer.pin(entryId(1));
    writer.pin(entryId(1));
    await writer.remove(entryId(1), entry(1).key);
    await writer.idle();
    writer.unpin(entryId(1));
    await writer.idle();
    expect(Buffer.from(reader.chunk(entryId(1), 1)!)).toEqual(
      content(1, CHUNK_BYTES * 3).subarray(CHUNK_BYTES, CHUNK_BYTES * 2),
    );
    writer.unpin(entryId(1));
    await writer.idle();
    expect(reader.chunk(entryId(1), 1)).toBeNull();
  });

  it('is yielded once by a scan, with all others that match', async () => {
    const { writer } = await openDisk(scratchFolder());
    await Promise.all(Array.from({ length: 500 }, (_, n) => store(writer, n)));
    const idsOf = async (tag: string): Promise<string[]> =>
      (await scanned(writer, ({ tags }) => tags.includes(tag))).map(({ id }) => id);
    expect((await idsOf('things')).toSorted()).toEqual(Array.from({ length: 500 }, (_, n) => entryId(n)));
    expect(await idsOf('thing:7')).toEqual([entryId(7)]);
  });
});

function variant(n: number, value: string, changes: Partial<EntryHead> = {}): EntryHead {
  return entry(n, { key: 'k', meta: { ...META, vary: ['accept'], varyValues: [value] }, ...changes });
}

/** Raises the floor, and tries to change the id and the size, which an update must keep. */
function raise(head: EntryHead): EntryHead {
  return { ...head, floor: 77, id: entryId(9), sizeBytes: 0 };
}

function failToChange(): never {
  throw new Error('a bug');
}

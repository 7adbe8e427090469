import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../proxy/store/disk/format.ts';
import {
  createKnownDigests,
  knownDigestsBuffer,
  type KnownDigests,
} from '../../../proxy/store/disk/known-digests.ts';
import { sealRow } from '../../../proxy/store/disk/row.ts';
import { StoredDigests } from '../../../proxy/store/disk/stored-digests.ts';
import { fc } from '../../support/properties.ts';
import { entry, entryId, MIB, startsUntil, store } from './support/entries.ts';
import { openDisk, openTables, scratchFolder, type OpenDisk } from './support/open-disk.ts';

const digestOfEntry = (n: number): Buffer => digestOf(entry(n).key);

function knownIn({ writer }: Pick<OpenDisk, 'writer'>): KnownDigests {
  return createKnownDigests(writer.shared.known);
}

describe('the table of known digests', () => {
  it('looks for every key until it is complete', () => {
    const known = createKnownDigests(knownDigestsBuffer(MIB));
    expect(known.mayHave(digestOfEntry(1))).toBe(true);
    known.complete();
    expect(known.mayHave(digestOfEntry(1))).toBe(false);
  });

  it('denies no digest that was raised more often than lowered', () => {
    const raised = fc.array(fc.record({ n: fc.nat({ max: 50 }), isRaised: fc.boolean() }), {
      maxLength: 300,
    });
    const holds = fc.property(raised, (changes) => {
      const known = createKnownDigests(knownDigestsBuffer(0));
      known.complete();
      const counts = new Map<number, number>();
      for (const { n, isRaised } of changes) {
        const count = counts.get(n) ?? 0;
        if (isRaised) known.raise(digestOfEntry(n));
        else if (count > 0) known.lower(digestOfEntry(n));
        counts.set(n, Math.max(0, count + (isRaised ? 1 : -1)));
      }
      for (const [n, count] of counts) if (count > 0) expect(known.mayHave(digestOfEntry(n))).toBe(true);
    });
    fc.assert(holds);
  });

  it('keeps a counter that is full', () => {
    const known = createKnownDigests(knownDigestsBuffer(0));
    known.complete();
    for (let i = 0; i < 300; i += 1) known.raise(digestOfEntry(1));
    for (let i = 0; i < 300; i += 1) known.lower(digestOfEntry(1));
    expect(known.mayHave(digestOfEntry(1))).toBe(true);
  });

  it('is lowered once too often without a wrong count', () => {
    const known = createKnownDigests(knownDigestsBuffer(0));
    known.complete();
    known.lower(digestOfEntry(1));
    known.raise(digestOfEntry(1));
    expect(known.mayHave(digestOfEntry(1))).toBe(true);
  });
});

describe('the digests of a disk', () => {
  it('are those of the entries that are stored, also after a restart', async () => {
    const path = scratchFolder();
    const first = await openDisk(path);
    for (let n = 1; n <= 20; n += 1) await store(first.writer, n);
    expect(knownIn(first).mayHave(digestOfEntry(99))).toBe(false);
    await first.writer.remove(entryId(3), entry(3).key);
    expect(knownIn(first).mayHave(digestOfEntry(3))).toBe(false);
    await first.close();
    const disk = await openDisk(path, { starts: startsUntil(2) });
    await disk.writer.idle();
    const known = Array.from({ length: 22 }, (_, n) => n).filter((n) =>
      knownIn(disk).mayHave(digestOfEntry(n)),
    );
    expect(known).toEqual(Array.from({ length: 20 }, (_, n) => n + 1).filter((n) => n !== 3));
  });

  it('lack those that were refused, replaced or evicted', async () => {
    const disk = await openDisk(scratchFolder(), { sizeBytes: 4 * MIB });
    await store(disk.writer, 1, { floor: 9 });
    expect(await store(disk.writer, 2, { key: entry(1).key, floor: 8 })).toBe('refused');
    await store(disk.writer, 3, { key: entry(1).key, floor: 9 });
    expect(knownIn(disk).mayHave(digestOfEntry(1))).toBe(true);
    await disk.writer.remove(entryId(3), entry(1).key);
    expect(knownIn(disk).mayHave(digestOfEntry(1))).toBe(false);
    for (let n = 10; n < 70; n += 1) await store(disk.writer, n, { sizeBytes: 100_000 });
    await disk.writer.idle();
    const isStored = (n: number): boolean => disk.reader.heads(entry(n).key).length > 0;
    const numbers = Array.from({ length: 60 }, (_, n) => n + 10);
    expect(numbers.filter(isStored).length).toBeLessThan(60);
    expect(numbers.filter((n) => knownIn(disk).mayHave(digestOfEntry(n)))).toEqual(numbers.filter(isStored));
  });

  it('are right whatever is added and removed while they are counted', () => {
    const { tables } = openTables(scratchFolder());
    const { rows } = tables;
    const steps = fc.array(
      fc.oneof(
        fc.record({ do: fc.constant('count' as const), n: fc.constant(0) }),
        fc.record({
          do: fc.constantFrom('add' as const, 'remove' as const, 'refuse' as const),
          n: fc.nat(12),
        }),
      ),
      { maxLength: 60 },
    );
    const variant = {
      id: entryId(1),
      number: 1,
      floor: 1,
      sizeBytes: 1,
      possiblyStale: false,
      isUpdated: false,
    };
    const isRight = fc.property(steps, fc.array(fc.nat(12)), (todo, atStart) => {
      for (const key of rows.getKeys({})) rows.removeSync(key);
      const stored = new Map<number, number>();
      const change = (n: number, by: number): void => {
        const count = (stored.get(n) ?? 0) + by;
        stored.set(n, count);
        const digest = digestOfEntry(n);
        if (count === 0) rows.removeSync(digest);
        else
          rows.putSync(
            digest,
            sealRow(
              digest,
              Array.from({ length: count }, () => variant),
            ),
          );
      };
      for (const n of atStart) change(n, 1);
      const known = createKnownDigests(knownDigestsBuffer(MIB));
      const digests = new StoredDigests(rows, known);
      for (const { do: step, n } of todo) {
        if (step === 'count') digests.countUntil(0);
        if (step === 'add' || step === 'refuse') known.raise(digestOfEntry(n));
        if (step === 'refuse') digests.refused(digestOfEntry(n));
        if (step === 'add') change(n, 1);
        if (step === 'add') digests.inserted(digestOfEntry(n));
        if (step !== 'remove' || (stored.get(n) ?? 0) === 0) continue;
        change(n, -1);
        digests.removed(digestOfEntry(n));
      }
      while (!digests.isOver) digests.countUntil(0);
      for (let n = 0; n <= 12; n += 1) {
        expect(known.mayHave(digestOfEntry(n))).toBe((stored.get(n) ?? 0) > 0);
      }
    });
    fc.assert(isRight, { numRuns: 100 });
  });
});

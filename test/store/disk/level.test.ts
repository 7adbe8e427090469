import { describe, expect, it } from 'vitest';
import { WorkerDiskTier, type DiskWriterLink } from '../../../proxy/store/disk/worker-disk.ts';
import { createWritesInFlight, writesInFlightBuffer } from '../../../proxy/store/disk/writes-in-flight.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../../proxy/threads/keyed-hash.ts';
import type { DiskReader } from '../../../proxy/store/disk/reader.ts';
import type { EntryHead } from '../../../proxy/store/entry-head.ts';
import { entry } from './support/entries.ts';

/** What the coordinator has committed, seen through snapshots that are as old as the last `refresh`. */
function disk() {
  const committed: EntryHead[] = [];
  let seen: readonly EntryHead[] = [];
  const reader: DiskReader = {
    heads: (key) => seen.filter((head) => head.key === key),
    chunk: () => null,
    refresh: () => void (seen = [...committed]),
    close: async () => {},
    counters: { corrupt: 0 },
  };
  return { committed, reader };
}

const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

describe('the disk level of a worker', () => {
  it('finds what was committed since its snapshot was taken', () => {
    const { committed, reader } = disk();
    const level = new WorkerDiskTier(reader, nobody, createWritesInFlight(writesInFlightBuffer(), 0, HASH));
    committed.push(entry(1));
    expect(level.heads(entry(1).key)).toEqual([entry(1)]);
  });

  it.each([true, false])('tells others what is on its way until that has an answer: %s', async (isStored) => {
    const buffer = writesInFlightBuffer();
    const answer = Promise.withResolvers<boolean>();
    const writer: DiskWriterLink = { call: () => answer.promise, tell: () => {} };
    const level = new WorkerDiskTier(disk().reader, writer, createWritesInFlight(buffer, 1, HASH));
    const head = entry(1, { sizeBytes: 0 });
    const committed = level.begin(head.id).commit(head, 64);
    const other = createWritesInFlight(buffer, 0, HASH);
    expect(other.holderOf(head.key)).toBe(1);
    answer.resolve(isStored);
    expect(await committed).toBe(isStored);
    expect(other.holderOf(head.key)).toBeNull();
  });
});

const nobody: DiskWriterLink = {
  call: () => Promise.reject(new Error('nobody asks for it')),
  tell: () => {},
};

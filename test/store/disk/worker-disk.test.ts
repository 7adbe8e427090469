import { describe, expect, it } from 'vitest';
import { WorkerDiskTier, type DiskWriterLink } from '../../../proxy/store/disk/worker-disk.ts';
import { createWritesInFlight, writesInFlightBuffer } from '../../../proxy/store/disk/writes-in-flight.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../../proxy/threads/keyed-hash.ts';
import type { DiskReader } from '../../../proxy/store/disk/reader.ts';
import { entry } from './support/entries.ts';

const NOTHING: DiskReader = {
  heads: () => [],
  chunk: () => null,
  close: async () => {},
  counters: { corrupt: 0 },
};
const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

describe('the disk tier of a worker', () => {
  it.each([true, false])('tells others what is on its way until that has an answer: %s', async (isStored) => {
    const buffer = writesInFlightBuffer();
    const answer = Promise.withResolvers<boolean>();
    const writer: DiskWriterLink = { call: () => answer.promise, tell: () => {} };
    const level = new WorkerDiskTier(NOTHING, writer, createWritesInFlight(buffer, 1, HASH));
    const head = entry(1, { sizeBytes: 0 });
    const committed = level.begin(head.id).commit(head, 64);
    const other = createWritesInFlight(buffer, 0, HASH);
    expect(other.holderOf(head.key)).toBe(1);
    answer.resolve(isStored);
    expect(await committed).toBe(isStored);
    expect(other.holderOf(head.key)).toBeNull();
  });
});

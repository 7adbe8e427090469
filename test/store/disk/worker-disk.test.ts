import { describe, expect, it } from 'vitest';
import { WorkerDiskTier, type DiskWriterLink } from '../../../proxy/store/disk/worker-disk.ts';
import { createUsedEntries, usedEntriesBuffer } from '../../../proxy/store/disk/used-entries.ts';
import { createWritesInFlight, writesInFlightBuffer } from '../../../proxy/store/disk/writes-in-flight.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../../proxy/threads/keyed-hash.ts';
import type { DiskReader } from '../../../proxy/store/disk/reader.ts';
import { entry } from './support/entries.ts';

const NOTHING: DiskReader = {
  find: () => [],
  content: () => null,
  heads: () => [],
  chunk: () => null,
  close: async () => {},
  counters: { corrupt: 0 },
};
const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

describe('the disk tier of a worker', () => {
  it.each([true, false])(
    'announces a write in flight to other workers until it is answered with %s',
    async (isStored) => {
      const buffer = writesInFlightBuffer();
      const answer = Promise.withResolvers<boolean>();
      const writer: DiskWriterLink = { call: () => answer.promise, tell: () => {} };
      const writesInFlight = createWritesInFlight(buffer, 1, HASH);
      const used = createUsedEntries(usedEntriesBuffer(0));
      const tier = new WorkerDiskTier({ reader: NOTHING, writer, writesInFlight, used });
      const head = entry(1, { sizeBytes: 0 });
      const committed = tier.begin(head.id).commit(head, 64);
      const other = createWritesInFlight(buffer, 0, HASH);
      expect(other.holderOf(head.key)).toBe(1);
      answer.resolve(isStored);
      expect(await committed).toBe(isStored);
      expect(other.holderOf(head.key)).toBeNull();
    },
  );
});

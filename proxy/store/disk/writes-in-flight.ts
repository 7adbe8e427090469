import type { KeyedHash } from '../../threads/keyed-hash.ts';

/**
 * Which worker has an entry in memory that is in flight to the disk, where no other worker finds it before the commit.
 * A table of fixed size in shared memory. Two keys may share a slot: that costs a lookup at a worker or a request to
 * the origin, never a wrong answer.
 */
export interface WritesInFlight {
  /** Notes that this worker sends an entry of the key. To call the result when every worker finds it on disk. */
  sent(key: string): () => void;
  /** The index of another worker that has sent an entry of the key; null: none has. */
  holderOf(key: string): number | null;
}

const SLOTS = 4_096;
/**
 * A word holds the worker's index plus 1 and, above it, a count of its entries, so that none clears the slot of a later
 * one.
 */
const HOLDER_BITS = 10;

export function writesInFlightBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * 4);
}

/** `index`: of this worker, below 1,023. */
export function createWritesInFlight(
  buffer: SharedArrayBuffer,
  index: number,
  hash: KeyedHash,
): WritesInFlight {
  const words = new Uint32Array(buffer);
  let count = 0;
  return {
    sent(key) {
      count += 1;
      const slot = hash.hash(key) % SLOTS;
      const own = ((count << HOLDER_BITS) | (index + 1)) >>> 0;
      Atomics.store(words, slot, own);
      return () => void Atomics.compareExchange(words, slot, own, 0);
    },
    holderOf(key) {
      const holder = (Atomics.load(words, hash.hash(key) % SLOTS) & ((1 << HOLDER_BITS) - 1)) - 1;
      return holder < 0 || holder === index ? null : holder;
    },
  };
}

import type { KeyedHash } from '../../threads/keyed-hash.ts';

/**
 * Which worker has in its memory what is on its way to the disk: until it is committed, no other worker finds it there. A
 * table of fixed size in shared memory, in which a key may take another's place: that costs a question to a worker, or one
 * to the origin, never a wrong answer.
 */
export interface WritesInFlight {
  /** This worker sends what it has of the key. What is returned is called when every worker finds it on disk. */
  sent(key: string): () => void;
  /** The place of another worker that has sent something of the key; null: none has. */
  holderOf(key: string): number | null;
}

const SLOTS = 4_096;
/** A word holds the worker's place, beginning with 1, and above it which of its entries that is, lest one end another. */
const HOLDER_BITS = 10;

export function writesInFlightBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * 4);
}

/** `index`: this worker's place. */
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

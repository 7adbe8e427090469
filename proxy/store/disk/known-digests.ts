/**
 * Which keys may have entries on disk: counters in shared memory, so that a miss reads nothing of LMDB. A worker raises
 * the counters of a key's digest before it sends an entry; the writer lowers them once the entry is removed, or not
 * stored. Digests may share counters, and a counter that is full stays so: then a key is looked for in vain, never
 * passed over.
 *
 * The writer counts what is stored at a start, in slices. Until it has, every key is looked for.
 */
export interface KnownDigests {
  /** Whether there may be entries of a key. */
  mayHave(digest: Uint8Array): boolean;
  raise(digest: Uint8Array): void;
  lower(digest: Uint8Array): void;
  /** From now on `mayHave` is sure of what it denies. */
  complete(): void;
}

/** Each digest has two counters, in the bytes that these offsets name. */
const FIRST = 0;
const SECOND = 4;
const FULL = 255;

const HEADER_BYTES = 8;
/** A counter for so many bytes of the disk. */
const BYTES_PER_COUNTER = 1024;
const LEAST_COUNTERS = 2 ** 16;
const MOST_COUNTERS = 2 ** 25;

export function knownDigestsBuffer(diskBytes: number): SharedArrayBuffer {
  const counters = 2 ** Math.ceil(Math.log2(Math.max(1, diskBytes / BYTES_PER_COUNTER)));
  return new SharedArrayBuffer(HEADER_BYTES + Math.min(MOST_COUNTERS, Math.max(LEAST_COUNTERS, counters)));
}

export function createKnownDigests(buffer: SharedArrayBuffer): KnownDigests {
  const isComplete = new Int32Array(buffer, 0, 1);
  const counters = new Uint8Array(buffer, HEADER_BYTES);
  const last = counters.length - 1;

  const placeOf = (digest: Uint8Array, offset: number): number =>
    (digest[offset]! |
      (digest[offset + 1]! << 8) |
      (digest[offset + 2]! << 16) |
      (digest[offset + 3]! << 24)) &
    last;

  const change = (place: number, by: 1 | -1): void => {
    for (;;) {
      const count = Atomics.load(counters, place);
      if (count === FULL || (count === 0 && by < 0)) return;
      if (Atomics.compareExchange(counters, place, count, count + by) === count) return;
    }
  };

  return {
    mayHave: (digest) =>
      Atomics.load(isComplete, 0) === 0 ||
      (Atomics.load(counters, placeOf(digest, FIRST)) > 0 &&
        Atomics.load(counters, placeOf(digest, SECOND)) > 0),
    raise(digest) {
      change(placeOf(digest, FIRST), 1);
      change(placeOf(digest, SECOND), 1);
    },
    lower(digest) {
      change(placeOf(digest, FIRST), -1);
      change(placeOf(digest, SECOND), -1);
    },
    complete: () => void Atomics.store(isComplete, 0, 1),
  };
}

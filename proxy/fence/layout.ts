/**
 * Where things stand in the fence's shared memory, in 32-bit words. Every access is an `Atomics` load or store, so the
 * order of memory is the order of the program.
 *
 * Sequences are kept as 32-bit numbers relative to a base. Before they could wrap, and before the 10 ms ticks could,
 * the writer starts a new era: every floor below the new base then counts as invalidated.
 */

/** The memory behind a fence; tests put their own in to stop between two accesses. */
export interface Words {
  load(index: number): number;
  store(index: number, value: number): void;
}

export const HEADER = {
  /** The sequence that is being written; equal to PUBLISHED when nothing is. */
  pending: 0,
  published: 1,
  era: 2,
  baseHigh: 3,
  baseLow: 4,
  /** Monotonic milliseconds of tick 0, as two words. */
  epochHigh: 5,
  epochLow: 6,
  buckets: 7,
  holdBuckets: 8,
  /** How many holds there are in all. */
  holds: 9,
} as const;

/** The era that a writer begins with; those that follow have forgotten the records before them. */
export const FIRST_ERA = 2;

export const HEADER_WORDS = 32;
export const BUCKET_WORDS = 32;
export const RECORDS_A_BUCKET = 7;
export const RECORD_WORDS = 4;
/** Within a record. */
export const FINGERPRINT = 0;
export const HARD = 1;
export const SOFT = 2;
/** The tick of the last invalidation. */
export const TICK = 3;
/** Within a bucket: its overflow, as a record without a fingerprint. */
export const OVERFLOW = RECORDS_A_BUCKET * RECORD_WORDS;
/**
 * In the fingerprint's place of the overflow, a bit a record and one for the overflow itself: softly invalidated more
 * than once, so that the tick is not that of the first time.
 */
export const REPEATED = OVERFLOW + FINGERPRINT;

export const HOLD_BUCKET_WORDS = 16;
export const HOLDS_A_BUCKET = 7;
export const HOLD_WORDS = 2;
/** Within a hold bucket: how many holds found no record of their own; while there are any, all its tags are held. */
export const HOLD_OVERFLOW = HOLDS_A_BUCKET * HOLD_WORDS;

export const TICK_MS = 10;
export const WORD_LIMIT = 2 ** 32;

export interface FenceSize {
  readonly buckets: number;
  readonly holdBuckets: number;
  readonly words: number;
}

/** For at least `records` tags, and half as many holds. 23 bytes a record; untouched pages cost nothing. */
export function fenceSize(records: number): FenceSize {
  const buckets = Math.max(1, Math.ceil(records / RECORDS_A_BUCKET));
  const holdBuckets = Math.max(1, Math.ceil(records / 2 / HOLDS_A_BUCKET));
  return {
    buckets,
    holdBuckets,
    words: HEADER_WORDS + buckets * BUCKET_WORDS + holdBuckets * HOLD_BUCKET_WORDS,
  };
}

/** Where the bucket of a tag's first hash word begins. */
export function bucketAt(hash: number, buckets: number): number {
  return HEADER_WORDS + (hash % buckets) * BUCKET_WORDS;
}

export function holdBucketAt(hash: number, buckets: number, holdBuckets: number): number {
  return HEADER_WORDS + buckets * BUCKET_WORDS + (hash % holdBuckets) * HOLD_BUCKET_WORDS;
}

export class SharedWords implements Words {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Uint32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Uint32Array(buffer);
  }

  load(index: number): number {
    return Atomics.load(this.#words, index);
  }

  store(index: number, value: number): void {
    Atomics.store(this.#words, index, value);
  }
}

/** A safe integer kept as two words. The writer changes them only while the era says so. */
export function loadWide(words: Words, high: number, low: number): number {
  return words.load(high) * WORD_LIMIT + words.load(low);
}

export function storeWide(words: Words, high: number, low: number, value: number): void {
  words.store(high, Math.floor(value / WORD_LIMIT));
  words.store(low, value % WORD_LIMIT);
}

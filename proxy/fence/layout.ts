import { HASH_KEY_WORDS } from '../threads/keyed-hash.ts';

/**
 * The layout of the fence's shared memory, in 32-bit words. Every access is an `Atomics` load or store, so memory order
 * is program order.
 *
 * Sequences are 32-bit numbers relative to a base. Before they or the 10 ms ticks could wrap, the writer begins a new
 * era: every floor below the new base then counts as invalidated.
 */

/** The memory of a fence. Tests pass their own implementation to stop between two accesses. */
export interface Words {
  load(index: number): number;
  store(index: number, value: number): void;
}

export const HEADER = {
  /** The sequence that is being written; equal to `published` if none is. */
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
  /** The number of all holds. */
  holds: 9,
  /** The key of the tag hashes, four words. */
  key: 10,
} as const;

/** The first era of a writer. Each later era begins without the records of the previous one. */
export const FIRST_ERA = 2;

export const HEADER_WORDS = 32;
export const BUCKET_WORDS = 32;
export const RECORDS_A_BUCKET = 7;
export const RECORD_WORDS = 4;
/** Offsets within a record. */
export const FINGERPRINT = 0;
export const HARD = 1;
export const SOFT = 2;
/** The tick of the last invalidation. */
export const TICK = 3;
/** The offset of a bucket's overflow, which is a record without a fingerprint. */
export const OVERFLOW = RECORDS_A_BUCKET * RECORD_WORDS;
/**
 * The offset of the repetition bits, in place of the overflow's fingerprint: one for each record and one for the
 * overflow. A bit is set if the tag was softly invalidated more than once, so that the tick is not the first one's.
 */
export const REPEATED = OVERFLOW + FINGERPRINT;

export const HOLD_BUCKET_WORDS = 16;
export const HOLDS_A_BUCKET = 7;
export const HOLD_WORDS = 2;
/**
 * The offset of the number of holds for which a hold bucket had no room. While it is above 0, all tags of the bucket
 * count as held.
 */
export const HOLD_OVERFLOW = HOLDS_A_BUCKET * HOLD_WORDS;

export const TICK_MS = 10;
export const WORD_LIMIT = 2 ** 32;

/**
 * Two bits of a tag's first word choose the region of the table that contains its bucket. Clients choose the names of
 * ordinary tags and can fill their buckets. An overflow of a bucket causes revalidation of every entry with one of its
 * tags. Tags that all entries of a route, an origin, a feed or a host share are therefore in separate regions after
 * the ordinary one.
 */
export const REGION_BITS = 0xc0000000;
export const ORDINARY_BITS = 0x7fffffff;
export const CONFIGURED_TAG = 0x80000000;
export const HOST_TAG = 0xc0000000;
/** Buckets for routes, origins and feeds; the first is for `all`. The number is fixed: slots are keys on disk. */
export const CONFIGURED_BUCKETS = 1024;
/** Buckets for hosts. Only purges, feeds and rules that name a whole host put records there. */
export const HOST_BUCKETS = 8192;
const SPECIAL_BUCKETS = CONFIGURED_BUCKETS + HOST_BUCKETS;
const CONFIGURED_HOLD_BUCKETS = 256;
const HOST_HOLD_BUCKETS = 256;
const SPECIAL_HOLD_BUCKETS = CONFIGURED_HOLD_BUCKETS + HOST_HOLD_BUCKETS;

export interface FenceSize {
  /** The number of buckets for ordinary tags; `holdBuckets` likewise. */
  readonly buckets: number;
  readonly holdBuckets: number;
  /** The number of buckets of all regions, over which slots are numbered. */
  readonly allBuckets: number;
  readonly words: number;
}

/**
 * The size of a table for at least `records` ordinary tags and half as many holds: 23 bytes a record. Untouched pages
 * take no memory.
 */
export function fenceSize(records: number): FenceSize {
  const buckets = Math.max(1, Math.ceil(records / RECORDS_A_BUCKET));
  const holdBuckets = Math.max(1, Math.ceil(records / 2 / HOLDS_A_BUCKET));
  const allBuckets = buckets + SPECIAL_BUCKETS;
  const allHoldBuckets = holdBuckets + SPECIAL_HOLD_BUCKETS;
  const words = HEADER_WORDS + allBuckets * BUCKET_WORDS + allHoldBuckets * HOLD_BUCKET_WORDS;
  return { buckets, holdBuckets, allBuckets, words };
}

/** The index of the word at which a tag's bucket begins. `hash` is the tag's first word. */
export function bucketAt(hash: number, buckets: number): number {
  const index =
    hash < CONFIGURED_TAG ? hash % buckets : buckets + specialIndex(hash, CONFIGURED_BUCKETS, HOST_BUCKETS);
  return HEADER_WORDS + index * BUCKET_WORDS;
}

/** The index of the word at which a tag's hold bucket begins. */
export function holdBucketAt(hash: number, buckets: number, holdBuckets: number): number {
  const index =
    hash < CONFIGURED_TAG
      ? hash % holdBuckets
      : holdBuckets + specialIndex(hash, CONFIGURED_HOLD_BUCKETS, HOST_HOLD_BUCKETS);
  return HEADER_WORDS + (buckets + SPECIAL_BUCKETS) * BUCKET_WORDS + index * HOLD_BUCKET_WORDS;
}

function specialIndex(hash: number, configured: number, hosts: number): number {
  return hash < HOST_TAG ? (hash - CONFIGURED_TAG) % configured : configured + ((hash - HOST_TAG) % hosts);
}

export function loadKey(words: Words): Uint32Array {
  return Uint32Array.from({ length: HASH_KEY_WORDS }, (_, i) => words.load(HEADER.key + i));
}

export function storeKey(words: Words, key: Uint32Array): void {
  key.forEach((word, i) => words.store(HEADER.key + i, word));
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

/** Loads a safe integer from two words, which the writer changes only while the era is odd. */
export function loadWide(words: Words, high: number, low: number): number {
  return words.load(high) * WORD_LIMIT + words.load(low);
}

export function storeWide(words: Words, high: number, low: number, value: number): void {
  words.store(high, Math.floor(value / WORD_LIMIT));
  words.store(low, value % WORD_LIMIT);
}

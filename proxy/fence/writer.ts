import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';
import {
  BUCKET_WORDS,
  bucketAt,
  FINGERPRINT,
  HARD,
  HEADER,
  HEADER_WORDS,
  HOLD_OVERFLOW,
  HOLD_WORDS,
  holdBucketAt,
  HOLDS_A_BUCKET,
  OVERFLOW,
  RECORD_WORDS,
  RECORDS_A_BUCKET,
  REPEATED,
  SOFT,
  storeWide,
  TICK,
  TICK_MS,
  WORD_LIMIT,
  type FenceSize,
  type Words,
} from './layout.ts';
import type { TagHashes } from './tag-hash.ts';

export type InvalidationMode = 'hard' | 'soft';

/** A tag's last hard and last soft invalidation, as absolute sequences; 0: never. */
export interface FenceRecord {
  /** The record's index in the table, counted over all buckets. */
  readonly slot: number;
  readonly bucketHash: number;
  readonly fingerprint: number;
  readonly hard: number;
  readonly soft: number;
}

/** The highest numbers of the records that were overwritten in a bucket, as absolute sequences. */
export interface FenceOverflow {
  readonly bucket: number;
  readonly hard: number;
  readonly soft: number;
}

/** The changes of an invalidation in the table. They must be on disk before the invalidation is answered. */
export interface FenceChange {
  readonly records: readonly FenceRecord[];
  readonly overflows: readonly FenceOverflow[];
}

export interface FenceStart {
  /** A sequence not below any that was ever used. */
  readonly sequence: number;
  /** The base of the last era of earlier runs. Floors below it stay invalid. */
  readonly base?: number;
  /** The current time in monotonic milliseconds. */
  readonly nowMs: number;
}

/**
 * The only writer of the fence's table, in the coordinator. Readers depend on the order of its stores: a bucket's
 * overflow before the record that is overwritten, records before the sequence, and the sequence once for all tags. The
 * file is long because records, holds and eras share that order.
 */
export class FenceWriter {
  readonly #words: Words;
  readonly #size: FenceSize;
  readonly #mechanisms: Mechanisms;
  readonly #wordLimit: number;
  /** For each full hold bucket: the fingerprints that have no record there, with their counts. */
  readonly #overflowingHolds = new Map<number, Map<number, number>>();
  #base: number;
  #epochMs: number;
  #sequence: number;
  /** The number of records that were overwritten because their bucket was full. */
  overflows = 0;

  /** `wordLimit` is the relative sequence at which an era ends. Only tests pass it. */
  constructor(
    words: Words,
    size: FenceSize,
    start: FenceStart,
    mechanisms: Mechanisms = ALL_MECHANISMS,
    wordLimit: number = WORD_LIMIT - 2 ** 20,
  ) {
    this.#words = words;
    this.#size = size;
    this.#mechanisms = mechanisms;
    this.#wordLimit = wordLimit;
    this.#base = Math.max(start.base ?? 0, start.sequence - Math.floor(wordLimit / 2));
    this.#epochMs = Math.floor(start.nowMs);
    this.#sequence = start.sequence;
    words.store(HEADER.buckets, size.buckets);
    words.store(HEADER.holdBuckets, size.holdBuckets);
    this.#beginEra(this.#base, start.nowMs);
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** The base of the era. Every floor below it counts as invalidated. */
  get base(): number {
    return this.#base;
  }

  get era(): number {
    return this.#words.load(HEADER.era);
  }

  /** Restores an earlier run's record in its slot, with the current time. To be called before any reader exists. */
  restoreRecord(record: FenceRecord): void {
    const bucket = HEADER_WORDS + Math.floor(record.slot / RECORDS_A_BUCKET) * BUCKET_WORDS;
    const at = bucket + (record.slot % RECORDS_A_BUCKET) * RECORD_WORDS;
    this.#write(bucket, at, record.fingerprint, this.#relative(record));
  }

  /** Adds a record from a table of another size to its bucket in this one. */
  moveRecord(record: FenceRecord): FenceChange {
    const change: MutableChange = { records: [], overflows: [] };
    this.#place(record.bucketHash, record.fingerprint, this.#relative(record), change);
    return change;
  }

  restoreOverflow(overflow: FenceOverflow): void {
    this.#raiseOverflow(HEADER_WORDS + overflow.bucket * BUCKET_WORDS, this.#relative(overflow));
  }

  /** Raises the overflow of every ordinary bucket, for records of unknown buckets. */
  restoreOverflowOfAll(hard: number, soft: number): void {
    for (let bucket = 0; bucket < this.#size.buckets; bucket += 1)
      this.restoreOverflow({ bucket, hard, soft });
  }

  /**
   * Invalidates all tags with one sequence, in force for every thread when this returns. `nowMs` is monotonic. Throws if
   * the sequence was used before.
   */
  invalidate(tags: TagHashes, mode: InvalidationMode, sequence: number, nowMs: number): FenceChange {
    this.#enter(sequence, nowMs);
    const number = sequence - this.#base;
    const tick = this.#tickAt(nowMs);
    const once = { tick, isRepeated: false };
    const numbers = mode === 'hard' ? { ...once, hard: number, soft: 0 } : { ...once, hard: 0, soft: number };
    const change: MutableChange = { records: [], overflows: [] };
    for (let i = 0; i < tags.length; i += 2) this.#place(tags[i]!, tags[i + 1]!, numbers, change);
    this.#publish(sequence);
    return change;
  }

  /** The current content of the changed places. For a record that was overwritten since, it is its bucket's overflow. */
  latest({ records, overflows }: FenceChange): FenceChange {
    const latest: MutableChange = { records: [], overflows: [] };
    for (const record of records) {
      const index = Math.floor(record.slot / RECORDS_A_BUCKET);
      const bucket = HEADER_WORDS + index * BUCKET_WORDS;
      const at = bucket + (record.slot % RECORDS_A_BUCKET) * RECORD_WORDS;
      if (this.#words.load(at + FINGERPRINT) === record.fingerprint) {
        latest.records.push({ ...record, ...this.#absolute(this.#numbersAt(bucket, at)) });
      } else latest.overflows.push(this.#overflowOf(index));
    }
    for (const { bucket } of overflows) latest.overflows.push(this.#overflowOf(bucket));
    return latest;
  }

  /**
   * Holds tags until `release` is called the same number of times. Publishes a sequence, so that no reader relies on an
   * earlier verdict.
   */
  hold(tags: TagHashes, sequence: number, nowMs: number): void {
    this.#enter(sequence, nowMs);
    for (let i = 0; i < tags.length; i += 2) this.#countHold(tags[i]!, tags[i + 1]!, 1);
    this.#publish(sequence);
  }

  /** Restores a hold of an earlier run. To be called before any reader exists. */
  restoreHold(tags: TagHashes): void {
    for (let i = 0; i < tags.length; i += 2) this.#countHold(tags[i]!, tags[i + 1]!, 1);
  }

  /** Ends a hold. Tags whose entries may be stale must be invalidated before. Throws if they are not held. */
  release(tags: TagHashes): void {
    for (let i = 0; i < tags.length; i += 2) this.#countHold(tags[i]!, tags[i + 1]!, -1);
  }

  get holds(): number {
    return this.#words.load(HEADER.holds);
  }

  #enter(sequence: number, nowMs: number): void {
    if (sequence <= this.#sequence) throw new Error(`sequence ${sequence} was used before`);
    if (sequence - this.#base >= this.#wordLimit || this.#tickAt(nowMs) >= this.#wordLimit) {
      this.#beginEra(this.#sequence, nowMs);
    }
    this.#words.store(HEADER.pending, sequence - this.#base);
  }

  #publish(sequence: number): void {
    this.#sequence = sequence;
    this.#words.store(HEADER.pending, sequence - this.#base);
    this.#words.store(HEADER.published, sequence - this.#base);
  }

  /** Drops all records, so that everything fetched before is revalidated once. Readers wait while the era is odd. */
  #beginEra(base: number, nowMs: number): void {
    const era = this.#words.load(HEADER.era);
    this.#words.store(HEADER.era, (era + 1) % WORD_LIMIT);
    const records = era === 0 ? 0 : this.#size.allBuckets * BUCKET_WORDS;
    for (let w = HEADER_WORDS; w < HEADER_WORDS + records; w += 1) {
      if (this.#words.load(w) !== 0) this.#words.store(w, 0);
    }
    this.#base = base;
    this.#epochMs = Math.floor(nowMs);
    storeWide(this.#words, HEADER.baseHigh, HEADER.baseLow, base);
    storeWide(this.#words, HEADER.epochHigh, HEADER.epochLow, this.#epochMs);
    this.#words.store(HEADER.pending, this.#sequence - base);
    this.#words.store(HEADER.published, this.#sequence - base);
    this.#words.store(HEADER.era, (era + 2) % WORD_LIMIT);
  }

  #place(bucketHash: number, fingerprint: number, numbers: Numbers, change: MutableChange): void {
    const bucket = bucketAt(bucketHash, this.#size.buckets);
    const record = this.#recordFor(bucket, fingerprint);
    const isSame = this.#words.load(record + FINGERPRINT) === fingerprint;
    const before = this.#numbersAt(bucket, record);
    const after = isSame ? changed(before, numbers) : numbers;
    const overflows = !isSame && this.#words.load(record + FINGERPRINT) !== 0;
    if (overflows && this.#mechanisms.overflowBeforeOverwrite) this.#raiseOverflow(bucket, before);
    this.#write(bucket, record, fingerprint, after);
    if (overflows && !this.#mechanisms.overflowBeforeOverwrite) this.#raiseOverflow(bucket, before);
    const index = (bucket - HEADER_WORDS) / BUCKET_WORDS;
    if (overflows) {
      this.overflows += 1;
      change.overflows.push(this.#overflowOf(index));
    }
    const slot = index * RECORDS_A_BUCKET + (record - bucket) / RECORD_WORDS;
    change.records.push({ slot, bucketHash, fingerprint, ...this.#absolute(after) });
  }

  /** The index of the tag's record. If it has none: of a free one, otherwise of the oldest. */
  #recordFor(bucket: number, fingerprint: number): number {
    let oldest = bucket;
    let oldestNumber = Number.POSITIVE_INFINITY;
    for (let record = bucket; record < bucket + OVERFLOW; record += RECORD_WORDS) {
      const found = this.#words.load(record + FINGERPRINT);
      if (found === fingerprint) return record;
      const last =
        found === 0 ? -1 : Math.max(this.#words.load(record + HARD), this.#words.load(record + SOFT));
      if (last < oldestNumber) {
        oldest = record;
        oldestNumber = last;
      }
    }
    return oldest;
  }

  #write(bucket: number, record: number, fingerprint: number, numbers: Numbers): void {
    if (this.#words.load(record + FINGERPRINT) !== fingerprint) this.#words.store(record + FINGERPRINT, 0);
    this.#writeNumbers(bucket, record, numbers);
    this.#words.store(record + FINGERPRINT, fingerprint);
  }

  #raiseOverflow(bucket: number, numbers: Numbers): void {
    const overflow = bucket + OVERFLOW;
    this.#writeNumbers(bucket, overflow, highest(this.#numbersAt(bucket, overflow), numbers));
  }

  /** Stores the repetition bit before the tick, so that no reader takes a later tick for the first one. */
  #writeNumbers(bucket: number, record: number, { hard, soft, tick, isRepeated }: Numbers): void {
    const bit = repeatedBit(bucket, record);
    const bits = this.#words.load(bucket + REPEATED);
    if (((bits & bit) !== 0) !== isRepeated) this.#words.store(bucket + REPEATED, bits ^ bit);
    this.#words.store(record + TICK, tick);
    this.#words.store(record + HARD, hard);
    this.#words.store(record + SOFT, soft);
  }

  #numbersAt(bucket: number, record: number): Numbers {
    return {
      hard: this.#words.load(record + HARD),
      soft: this.#words.load(record + SOFT),
      tick: this.#words.load(record + TICK),
      isRepeated: (this.#words.load(bucket + REPEATED) & repeatedBit(bucket, record)) !== 0,
    };
  }

  /** Counts a hold in the tag's record or, if the bucket is full, in the bucket's overflow. */
  #countHold(bucketHash: number, fingerprint: number, by: 1 | -1): void {
    const bucket = holdBucketAt(bucketHash, this.#size.buckets, this.#size.holdBuckets);
    const overflowing = this.#overflowingHolds.get(bucket);
    const known = overflowing?.get(fingerprint);
    if (known === undefined) {
      if (!this.#countOwnHold(bucket, fingerprint, by)) this.#setOverflowingHold(bucket, fingerprint, 1);
    } else this.#setOverflowingHold(bucket, fingerprint, known + by);
    this.#words.store(HEADER.holds, this.#words.load(HEADER.holds) + by);
  }

  /** Counts a hold in the tag's record. Returns false if the bucket has no record for the tag and no room for one. */
  #countOwnHold(bucket: number, fingerprint: number, by: 1 | -1): boolean {
    let free = -1;
    for (let h = 0; h < HOLDS_A_BUCKET; h += 1) {
      const at = bucket + h * HOLD_WORDS;
      const found = this.#words.load(at);
      if (found === fingerprint) {
        const count = this.#words.load(at + 1) + by;
        this.#words.store(at + 1, count);
        if (count === 0) this.#words.store(at, 0);
        return true;
      }
      if (found === 0 && free < 0) free = at;
    }
    if (by < 0) throw new Error('a hold that does not exist was ended');
    if (free < 0) return false;
    this.#words.store(free + 1, 1);
    this.#words.store(free, fingerprint);
    return true;
  }

  #setOverflowingHold(bucket: number, fingerprint: number, count: number): void {
    let overflowing = this.#overflowingHolds.get(bucket);
    if (overflowing === undefined) {
      overflowing = new Map();
      this.#overflowingHolds.set(bucket, overflowing);
    }
    if (count > 0) overflowing.set(fingerprint, count);
    else overflowing.delete(fingerprint);
    this.#words.store(bucket + HOLD_OVERFLOW, overflowing.size);
    if (overflowing.size === 0) this.#overflowingHolds.delete(bucket);
  }

  #overflowOf(index: number): FenceOverflow {
    const bucket = HEADER_WORDS + index * BUCKET_WORDS;
    return { bucket: index, ...this.#absolute(this.#numbersAt(bucket, bucket + OVERFLOW)) };
  }

  #absolute(numbers: Numbers): { hard: number; soft: number } {
    const { hard, soft } = numbers;
    return { hard: hard === 0 ? 0 : this.#base + hard, soft: soft === 0 ? 0 : this.#base + soft };
  }

  /**
   * Converts to relative numbers. Those below the base become 0: they concern only floors below the base, which count as
   * invalidated. The times are unknown, so the record gets tick 0 and counts as repeated.
   */
  #relative(numbers: { readonly hard: number; readonly soft: number }): Numbers {
    const soft = Math.max(0, numbers.soft - this.#base);
    return { hard: Math.max(0, numbers.hard - this.#base), soft, tick: 0, isRepeated: soft > 0 };
  }

  #tickAt(nowMs: number): number {
    return Math.max(0, Math.ceil((nowMs - this.#epochMs) / TICK_MS));
  }
}

/** Sequences relative to the base, the tick of the last one, and whether a soft one was repeated since the hard one. */
interface Numbers {
  readonly hard: number;
  readonly soft: number;
  readonly tick: number;
  readonly isRepeated: boolean;
}

interface MutableChange {
  readonly records: FenceRecord[];
  readonly overflows: FenceOverflow[];
}

/** A tag's numbers after another invalidation. Soft numbers below the hard one have no effect. */
function changed(before: Numbers, next: Numbers): Numbers {
  const isRepeated = next.soft > 0 && before.soft > before.hard;
  return { ...highest(before, next), isRepeated: next.isRepeated || isRepeated };
}

/** The higher numbers of both records. */
function highest(a: Numbers, b: Numbers): Numbers {
  return {
    hard: Math.max(a.hard, b.hard),
    soft: Math.max(a.soft, b.soft),
    tick: Math.max(a.tick, b.tick),
    isRepeated: a.isRepeated || b.isRepeated || (a.soft > 0 && b.soft > 0),
  };
}

function repeatedBit(bucket: number, record: number): number {
  return 1 << ((record - bucket) / RECORD_WORDS);
}

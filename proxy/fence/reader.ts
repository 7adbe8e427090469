import type { Verdict } from '../../policies/model.ts';
import type { Clock } from '../threads/clock.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';
import {
  bucketAt,
  FINGERPRINT,
  FIRST_ERA,
  HARD,
  HEADER,
  HOLD_OVERFLOW,
  HOLD_WORDS,
  holdBucketAt,
  HOLDS_A_BUCKET,
  loadKey,
  loadWide,
  OVERFLOW,
  RECORD_WORDS,
  RECORDS_A_BUCKET,
  REPEATED,
  SOFT,
  TICK,
  TICK_MS,
  type Words,
} from './layout.ts';
import { TagHasher, type TagHashes } from './tag-hash.ts';

/** The part of an entry that the fence reads. The reader keeps notes in the properties that are not readonly. */
export interface Fenced {
  readonly tagHashes: TagHashes;
  /** The sequence at the moment before the request was sent to the origin. */
  readonly floor: number;
  /** The wall clock's time of that moment in milliseconds. No invalidation above the floor is older. */
  readonly requestTimeMs: number;
  /** The entry was fetched within the read lag after an invalidation, so it may show the state before. */
  readonly possiblyStale: boolean;
  /** The era and the pending word at which the last scan found nothing above the floor; -1: no such scan. */
  clearEra: number;
  clearAt: number;
  /** Monotonic milliseconds, not later than the first soft invalidation above the floor; 0: unknown. */
  softSinceMs: number;
}

const CLEAR: Verdict = { kind: 'clear' };
const HARD_VERDICT: Verdict = { kind: 'hard' };
const POSSIBLY_STALE: Verdict = { kind: 'possibly-stale' };

/**
 * Judges entries by the fence, in any thread. An entry may be used as fresh only while no record of its tags has a
 * number above its floor. If the table is not exact, the entry counts as invalidated. The file is long because all of it
 * depends on one order of loads.
 */
export class FenceReader {
  /** The hasher with the key of the fence's state. */
  readonly hasher: TagHasher;
  readonly #words: Words;
  readonly #buckets: number;
  readonly #holdBuckets: number;
  readonly #clock: Clock;
  readonly #mechanisms: Mechanisms;
  #era = -1;
  #base = 0;
  #epochMs = 0;

  constructor(words: Words, clock: Clock, mechanisms: Mechanisms = ALL_MECHANISMS) {
    this.#words = words;
    this.#clock = clock;
    this.#buckets = words.load(HEADER.buckets);
    this.#holdBuckets = words.load(HEADER.holdBuckets);
    this.#mechanisms = mechanisms;
    this.hasher = new TagHasher(loadKey(words));
  }

  /** The last sequence in force: the floor of a flight that begins now, and the arrival of a waiter. */
  published(): number {
    for (;;) {
      const era = this.#enterEra();
      const published = this.#words.load(HEADER.published);
      if (this.#words.load(HEADER.era) === era) return this.#base + published;
    }
  }

  /**
   * Whether the entry may be used now. It takes two loads if nothing was invalidated since the entry was last found
   * clear, otherwise a scan of one bucket for each tag. The caller must use the verdict before it awaits anything.
   */
  verdict(entry: Fenced): Verdict {
    if (!this.#mechanisms.floorAtUse) return CLEAR;
    if (entry.possiblyStale) return POSSIBLY_STALE;
    const words = this.#words;
    const era = words.load(HEADER.era);
    const pendingBefore = words.load(HEADER.pending);
    if (entry.clearAt === pendingBefore && entry.clearEra === era) return CLEAR;
    if (this.#enterEra() !== era || entry.floor < this.#base) return HARD_VERDICT;
    const publishedBefore = words.load(HEADER.published);
    const found = this.#scanAbove(entry.floor - this.#base, publishedBefore, pendingBefore, entry.tagHashes);
    if (found.hard || this.#isHeld(entry.tagHashes)) return HARD_VERDICT;
    if (found.softTick >= 0) return this.#softVerdict(entry, found);
    const pendingAfter = words.load(HEADER.pending);
    // An invalidation is being written: some of its tags are invalid already, and the entry's may follow.
    if (words.load(HEADER.published) !== pendingAfter) return POSSIBLY_STALE;
    if (words.load(HEADER.era) !== era) return HARD_VERDICT;
    const remembered = this.#mechanisms.sequenceBeforeScan ? publishedBefore : pendingAfter;
    entry.clearAt = remembered;
    entry.clearEra = era;
    return CLEAR;
  }

  /**
   * Whether one of the tags may have been invalidated after the sequence `after` and up to `until`, or is held. A record
   * has only its last number. If that is above `until`, an earlier one within the range is assumed.
   */
  invalidatedBetween(tags: TagHashes, after: number, until: number): boolean {
    if (after >= until) return false;
    const era = this.#enterEra();
    if (after < this.#base || this.#isHeld(tags)) return true;
    const found = this.#scan(tags, after - this.#base);
    return found.hard || found.softTick >= 0 || this.#words.load(HEADER.era) !== era;
  }

  /** Whether one of the tags may have been invalidated after that sequence. Ignores holds. */
  touchedSince(tags: TagHashes, after: number): boolean {
    const era = this.#enterEra();
    if (after < this.#base) return true;
    const found = this.#scan(tags, after - this.#base);
    return found.hard || found.softTick >= 0 || this.#words.load(HEADER.era) !== era;
  }

  /**
   * Whether the response to a request sent at `askedAtMs` (monotonic) may show the state before the last invalidation of
   * one of its tags, if the origin's read lag is at most `readLagMs`.
   */
  withinReadLag(tags: TagHashes, askedAtMs: number, readLagMs: number): boolean {
    return this.lastInvalidatedAtMs(tags) > askedAtMs - readLagMs - TICK_MS;
  }

  /**
   * Monotonic milliseconds of the last invalidation of any of the tags; -Infinity: there was none. After the first era, a
   * tag without a record counts as invalidated at the beginning of the era.
   */
  lastInvalidatedAtMs(tags: TagHashes): number {
    for (;;) {
      const era = this.#enterEra();
      const tick = Math.max(this.#lastTick(tags), era === FIRST_ERA ? -1 : 0);
      if (this.#words.load(HEADER.era) !== era) continue;
      return tick < 0 ? Number.NEGATIVE_INFINITY : this.#epochMs + tick * TICK_MS;
    }
  }

  /** The last tick in the records of the tags; -1: they have none. */
  #lastTick(tags: TagHashes): number {
    let last = -1;
    for (let i = 0; i < tags.length; i += 2) {
      const bucket = bucketAt(tags[i]!, this.#buckets);
      for (let r = 0; r <= RECORDS_A_BUCKET; r += 1) {
        const record = bucket + r * RECORD_WORDS;
        if (r < RECORDS_A_BUCKET && this.#words.load(record + FINGERPRINT) !== tags[i + 1]) continue;
        if (this.#words.load(record + HARD) === 0 && this.#words.load(record + SOFT) === 0) continue;
        last = Math.max(last, this.#words.load(record + TICK));
      }
    }
    return last;
  }

  /** Whether there is any hold. */
  holdsAny(): boolean {
    return this.#words.load(HEADER.holds) > 0;
  }

  /** Whether one of the tags is held. */
  isHeld(tags: TagHashes): boolean {
    return this.#isHeld(tags);
  }

  /** Stale windows begin at the first soft invalidation. If the wall clock jumps, they move with it. */
  #softVerdict(entry: Fenced, { softTick, isRepeated }: Found): Verdict {
    const monotonicMs = this.#clock.monotonicMs();
    const nowMs = this.#clock.nowMs();
    if (entry.softSinceMs === 0) {
      const lastMs = this.#epochMs + softTick * TICK_MS;
      // After several soft invalidations the first one's time is unknown, but it is after the entry's request.
      const requestMs = monotonicMs - Math.max(0, nowMs - entry.requestTimeMs);
      entry.softSinceMs = isRepeated ? Math.min(lastMs, requestMs) : lastMs;
    }
    return { kind: 'soft', invalidatedAtMs: nowMs - (monotonicMs - entry.softSinceMs) };
  }

  /** `#scan`, which is skipped if no number above the floor was written, as for everything that was just fetched. */
  #scanAbove(floor: number, published: number, pending: number, tags: TagHashes): Found {
    return floor >= published && pending === published ? NO_SOFT : this.#scan(tags, floor);
  }

  #scan(tags: TagHashes, floor: number): Found {
    const words = this.#words;
    let soft = NO_SOFT;
    for (let i = 0; i < tags.length; i += 2) {
      const bucket = bucketAt(tags[i]!, this.#buckets);
      const fingerprint = tags[i + 1]!;
      for (let record = bucket; record < bucket + OVERFLOW; record += RECORD_WORDS) {
        if (words.load(record + FINGERPRINT) !== fingerprint) continue;
        if (words.load(record + HARD) > floor) return FOUND_HARD;
        if (words.load(record + SOFT) > floor) soft = this.#first(soft, bucket, record);
      }
      // Loaded after the records, because the writer raises the overflow before it overwrites a record.
      if (words.load(bucket + OVERFLOW + HARD) > floor) return FOUND_HARD;
      if (words.load(bucket + OVERFLOW + SOFT) > floor) soft = this.#first(soft, bucket, bucket + OVERFLOW);
    }
    return soft;
  }

  #first(soft: Found, bucket: number, record: number): Found {
    const tick = this.#words.load(record + TICK);
    const bit = 1 << ((record - bucket) / RECORD_WORDS);
    return {
      hard: false,
      softTick: soft.softTick < 0 ? tick : Math.min(soft.softTick, tick),
      isRepeated: soft.isRepeated || (this.#words.load(bucket + REPEATED) & bit) !== 0,
    };
  }

  #isHeld(tags: TagHashes): boolean {
    const words = this.#words;
    if (words.load(HEADER.holds) === 0) return false;
    for (let i = 0; i < tags.length; i += 2) {
      const bucket = holdBucketAt(tags[i]!, this.#buckets, this.#holdBuckets);
      for (let h = 0; h < HOLDS_A_BUCKET; h += 1) {
        const at = bucket + h * HOLD_WORDS;
        if (words.load(at) === tags[i + 1] && words.load(at + 1) > 0) return true;
      }
      if (words.load(bucket + HOLD_OVERFLOW) > 0) return true;
    }
    return false;
  }

  /** Loads base and epoch of the current era, and returns the era. The era is odd while a new one begins. */
  #enterEra(): number {
    for (;;) {
      const era = this.#words.load(HEADER.era);
      if (era === this.#era) return era;
      const base = loadWide(this.#words, HEADER.baseHigh, HEADER.baseLow);
      const epochMs = loadWide(this.#words, HEADER.epochHigh, HEADER.epochLow);
      if (era % 2 === 1 || this.#words.load(HEADER.era) !== era) continue;
      this.#era = era;
      this.#base = base;
      this.#epochMs = epochMs;
    }
  }
}

/** The result of a scan for numbers above the floor. */
interface Found {
  readonly hard: boolean;
  /** The earliest tick among tags that were softly invalidated; -1: none was. */
  readonly softTick: number;
  /** Whether one of these tags was softly invalidated more than once. */
  readonly isRepeated: boolean;
}

const NO_SOFT: Found = { hard: false, softTick: -1, isRepeated: false };
const FOUND_HARD: Found = { hard: true, softTick: -1, isRepeated: false };

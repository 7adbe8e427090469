import type { Clock } from '../clock.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import { fenceSize, SharedWords } from './layout.ts';
import { FenceReader } from './reader.ts';
import { hashTags, type TagHashes } from './tag-hash.ts';
import { overflowRow, readNumber, readOverflow, readRecord, recordRow, wide } from './rows.ts';
import { FenceWriter, type FenceChange, type InvalidationMode } from './writer.ts';

/** Sequences reserved on disk at a time: none is handed out beyond what is reserved. */
const BLOCK = 1_000_000;

/** One invalidation: an operator's purge, a write's, or a feed's change. */
export interface Invalidation {
  readonly tags: readonly string[];
  readonly mode: InvalidationMode;
  /** Made durable in the same transaction, with or without tags. */
  readonly also?: () => void;
}

/**
 * The door that every invalidation goes through, in one order. It is in force for all threads at once, and answered
 * when it is synced.
 */
export class Fence {
  readonly buffer: SharedArrayBuffer;
  readonly #writer: FenceWriter;
  readonly #reader: FenceReader;
  readonly #state: StateStore;
  readonly #meta: StateTable;
  readonly #records: StateTable;
  readonly #overflow: StateTable;
  readonly #clock: Clock;
  readonly #mechanisms: Mechanisms;
  readonly #buckets: number;
  readonly #block: number;
  readonly #onDurable: (sequence: number) => void;
  #next: number;
  #reserved: number;
  #reserving: Promise<void> | null = null;
  #durable = 0;
  /** What is in force and not on disk, oldest first: the next write that succeeds takes it along. */
  #unwritten: FenceChange[] = [];
  invalidations = 0;
  failures = 0;

  private constructor(
    deps: FenceDependencies,
    buffer: SharedArrayBuffer,
    writer: FenceWriter,
    buckets: number,
    sequence: number,
  ) {
    this.buffer = buffer;
    this.#writer = writer;
    this.#reader = new FenceReader(new SharedWords(buffer));
    this.#state = deps.state;
    this.#meta = deps.state.table('meta');
    this.#records = deps.state.table('records');
    this.#overflow = deps.state.table('overflow');
    this.#clock = deps.clock;
    this.#mechanisms = deps.mechanisms ?? ALL_MECHANISMS;
    this.#buckets = buckets;
    this.#block = deps.block ?? BLOCK;
    this.#next = sequence;
    this.#reserved = sequence;
    this.#durable = readNumber(this.#meta.get('sequence')) ?? 0;
    this.#onDurable = deps.onDurable ?? (() => {});
  }

  /** Loads what earlier runs invalidated and reserves the first sequences. Rejects where the state can't be written. */
  static async open(records: number, deps: FenceDependencies): Promise<Fence> {
    const mechanisms = deps.mechanisms ?? ALL_MECHANISMS;
    const size = fenceSize(records);
    const buffer = new SharedArrayBuffer(size.words * 4);
    const meta = deps.state.table('meta');
    const reservedBefore = readNumber(meta.get('reserved')) ?? 0;
    const sequence = mechanisms.reservedBlocks ? reservedBefore : (readNumber(meta.get('sequence')) ?? 0);
    const start = { sequence, base: readNumber(meta.get('base')) ?? 0, nowMs: deps.clock.nowMs() };
    const writer = new FenceWriter(new SharedWords(buffer), size, start, mechanisms, deps.wordLimit);
    const fence = new Fence(deps, buffer, writer, size.buckets, sequence);
    await fence.#restore();
    await fence.#reserve();
    return fence;
  }

  /** The last sequence in force. */
  get sequence(): number {
    return this.#writer.sequence;
  }

  /** The last sequence that is on disk. */
  get durableSequence(): number {
    return this.#durable;
  }

  /** Records that had to make room for others in a full bucket. */
  get overflows(): number {
    return this.#writer.overflows;
  }

  get holds(): number {
    return this.#writer.holds;
  }

  /** Invalidates all tags together. Rejects with a `NotDurableError` where that can't be written down. */
  async invalidate(
    invalidation: Invalidation,
  ): Promise<{ readonly sequence: number; readonly tags: number }> {
    while (this.#next + 1 > this.#reserved) await this.#reserve();
    const sequence = this.#take();
    const hashes = hashTags(invalidation.tags);
    const change = this.#writer.invalidate(hashes, invalidation.mode, sequence, this.#clock.nowMs());
    this.invalidations += 1;
    const synced = this.#persist(change, sequence, invalidation.also);
    if (this.#mechanisms.durableBeforeAnswer) await synced;
    else synced.catch(() => {});
    return { sequence, tags: invalidation.tags.length };
  }

  /**
   * Holds tags, in force at once; `also` writes the hold down. Resolves when that is synced with the sequence from which
   * on they are held; rejects with a `NotDurableError`, and holds nothing, where it can't be.
   */
  async hold(tags: TagHashes, also: () => void): Promise<{ readonly sequence: number }> {
    while (this.#next + 1 > this.#reserved) await this.#reserve();
    const sequence = this.#take();
    this.#writer.hold(tags, sequence, this.#clock.nowMs());
    try {
      await this.#persist({ records: [], overflows: [] }, sequence, also);
    } catch (error) {
      this.#writer.release(tags);
      throw error;
    }
    return { sequence };
  }

  /** Puts a hold back that was written down in an earlier run, before any reader is there. */
  restoreHold(tags: TagHashes): void {
    this.#writer.restoreHold(tags);
  }

  /**
   * Invalidates the tags of a hold, and more, and ends it, in one transaction with `also`. Rejects with a
   * `NotDurableError`, with the tags invalid and still held, where that can't be written down.
   */
  async release(
    tags: TagHashes,
    moreTags: readonly string[],
    also: () => void,
  ): Promise<{ readonly sequence: number }> {
    while (this.#next + 1 > this.#reserved) await this.#reserve();
    const sequence = this.#take();
    const more = hashTags(moreTags);
    const all = new Uint32Array(tags.length + more.length);
    all.set(tags);
    all.set(more, tags.length);
    const change = this.#writer.invalidate(all, 'hard', sequence, this.#clock.nowMs());
    this.invalidations += 1;
    await this.#persist(change, sequence, also);
    this.#writer.release(tags);
    return { sequence };
  }

  /** Ends a hold under which nothing was changed. Whoever calls it has written that down, or never the hold. */
  drop(tags: TagHashes): void {
    this.#writer.release(tags);
  }

  /** Whether a tag was invalidated after that sequence; holds do not count. */
  touchedSince(tags: TagHashes, sequence: number): boolean {
    return this.#reader.touchedSince(tags, sequence);
  }

  #take(): number {
    this.#next += 1;
    if (this.#reserved - this.#next < this.#block / 2) {
      this.#reserve().catch(() => {
        // Counted where it failed; whoever needs a number beyond the reservation tries again and hears of it.
      });
    }
    return this.#next;
  }

  async #persist(change: FenceChange, sequence: number, also: (() => void) | undefined): Promise<void> {
    this.#unwritten.push(change);
    let written: FenceChange[] = [];
    try {
      await this.#state.write(() => {
        written = this.#unwritten.splice(0);
        for (const each of written) this.#putRows(each);
        this.#meta.put('sequence', wide(sequence));
        this.#meta.put('base', wide(this.#writer.base));
        also?.();
      });
      this.#durable = Math.max(this.#durable, sequence);
      this.#onDurable(this.#durable);
    } catch (error) {
      this.#unwritten.unshift(...written);
      this.failures += 1;
      throw new NotDurableError(error);
    }
  }

  #putRows(change: FenceChange): void {
    for (const record of change.records) this.#records.put(...recordRow(record));
    for (const overflow of change.overflows) this.#overflow.put(...overflowRow(overflow));
  }

  async #restore(): Promise<void> {
    const buckets = readNumber(this.#meta.get('buckets')) ?? this.#buckets;
    if (buckets !== this.#buckets) return this.#move();
    for (const row of this.#overflow.range()) this.#writer.restoreOverflow(readOverflow(row));
    for (const row of this.#records.range()) this.#writer.restoreRecord(readRecord(row));
    await this.#state.write(() => this.#meta.put('buckets', wide(this.#buckets)));
  }

  /** Takes over the rows of a table of another size: records find their new buckets, overflow counts for all. */
  async #move(): Promise<void> {
    const overflows = [...this.#overflow.range()].map(readOverflow);
    const records = [...this.#records.range()].map(readRecord);
    const hard = overflows.reduce((most, overflow) => Math.max(most, overflow.hard), 0);
    const soft = overflows.reduce((most, overflow) => Math.max(most, overflow.soft), 0);
    this.#writer.restoreOverflowOfAll(hard, soft);
    const changes = records.map((record) => this.#writer.moveRecord(record));
    await this.#state.write(() => {
      for (const record of records) this.#records.remove(recordRow(record)[0]);
      for (const overflow of overflows) this.#overflow.remove(overflowRow(overflow)[0]);
      if (hard > 0 || soft > 0) {
        for (let bucket = 0; bucket < this.#buckets; bucket += 1) {
          this.#overflow.put(...overflowRow({ bucket, hard, soft }));
        }
      }
      for (const change of changes) this.#putRows(change);
      this.#meta.put('buckets', wide(this.#buckets));
    });
  }

  #reserve(): Promise<void> {
    this.#reserving ??= this.#reserveBlock().finally(() => {
      this.#reserving = null;
    });
    return this.#reserving;
  }

  async #reserveBlock(): Promise<void> {
    const reserved = Math.max(this.#next, this.#reserved) + this.#block;
    try {
      await this.#state.write(() => this.#meta.put('reserved', wide(reserved)));
      this.#reserved = reserved;
    } catch (error) {
      this.failures += 1;
      throw new NotDurableError(error);
    }
  }
}

export interface FenceDependencies {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly mechanisms?: Mechanisms;
  /** Told of each sequence that is on disk, before whoever asked for it is answered. */
  readonly onDurable?: (sequence: number) => void;
  /** Where an era ends, and how many sequences are reserved at a time; only a test gives others. */
  readonly wordLimit?: number;
  readonly block?: number;
}

/** The state could not be written: what was asked for is in force, but would not survive a crash. */
export class NotDurableError extends Error {
  readonly code = 'WEIR_NOT_DURABLE';

  constructor(cause: unknown) {
    super('the state could not be written and synced', { cause });
  }
}

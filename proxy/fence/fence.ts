import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../threads/clock.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';
import { HASH_KEY_WORDS } from '../threads/keyed-hash.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import { fenceSize, SharedWords, storeKey, type FenceSize } from './layout.ts';
import { FenceReader } from './reader.ts';
import { bytesOfHashes, newTagKey, TagHasher, tagKeyOfBytes, type TagHashes } from './tag-hash.ts';
import { overflowRow, readNumber, readOverflow, readRecord, recordRow, wide } from './rows.ts';
import { DirtyRecords } from './dirty.ts';
import { FenceWriter, type FenceChange, type InvalidationMode } from './writer.ts';

/** Sequences reserved on disk at a time: none is handed out beyond what is reserved. */
const BLOCK = 1_000_000;
/** The most tags that are brought into force, or written down, in one turn of the loop: some two milliseconds. */
export const SLICE_TAGS = 1_000;

/** One invalidation: an operator's purge, a write's, or a feed's change. */
export interface Invalidation {
  readonly tags: readonly string[];
  readonly mode: InvalidationMode;
  /** The feed that told it. Absent: a purge or a write. */
  readonly by?: string;
  /**
   * Tags that between them every entry bears that bears one of `tags`: held while those take several turns, so that
   * nobody sees some of them invalid and others not. Absent: in parts is fine.
   */
  readonly under?: readonly string[];
  /** Made durable in the same transaction, with or without tags. */
  readonly also?: () => void;
  /** What may become an entry as it is then, where nothing else has touched it since. */
  readonly entry?: AskedEntry;
}

/** By the tags that it bears, and the sequence before it was asked for. */
export interface AskedEntry {
  readonly tags: TagHashes;
  readonly floor: number;
}

export interface Invalidated {
  readonly sequence: number;
  /** Something else has invalidated a tag of `entry` after its floor, or may have. */
  readonly isTouched: boolean;
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
  readonly #size: FenceSize;
  readonly #block: number;
  readonly #onDurable: (sequence: number) => void;
  readonly #attested: () => readonly string[];
  #next: number;
  /** Numbers that invalidations under way have yet to take. */
  #promised = 0;
  #reserved: number;
  #reserving: Promise<void> | null = null;
  #durable = 0;
  /** The highest sequence that was to be written down. */
  #noted: number;
  /** The next write that succeeds takes it along. */
  readonly #unwritten = new DirtyRecords();
  invalidations = 0;
  failures = 0;
  /** Whether the last attempt to write the state down was in vain. */
  isFailing = false;

  private constructor(
    deps: FenceDependencies,
    buffer: SharedArrayBuffer,
    writer: FenceWriter,
    size: FenceSize,
    sequence: number,
  ) {
    this.buffer = buffer;
    this.#writer = writer;
    this.#reader = new FenceReader(new SharedWords(buffer), deps.clock);
    this.#state = deps.state;
    this.#meta = deps.state.table('meta');
    this.#records = deps.state.table('records');
    this.#overflow = deps.state.table('overflow');
    this.#clock = deps.clock;
    this.#mechanisms = deps.mechanisms ?? ALL_MECHANISMS;
    this.#size = size;
    this.#block = deps.block ?? BLOCK;
    this.#next = sequence;
    this.#reserved = sequence;
    this.#durable = readNumber(this.#meta.get('sequence')) ?? 0;
    this.#noted = this.#durable;
    this.#onDurable = deps.onDurable ?? (() => {});
    this.#attested = deps.attested ?? (() => []);
  }

  /** Loads what earlier runs invalidated and reserves the first sequences. Rejects where the state can't be written. */
  static async open(records: number, deps: FenceDependencies): Promise<Fence> {
    const { state, clock, wordLimit, mechanisms = ALL_MECHANISMS } = deps;
    const size = fenceSize(records);
    const buffer = new SharedArrayBuffer(size.words * 4);
    const words = new SharedWords(buffer);
    const { sequence, base } = await startOf(deps, mechanisms);
    storeKey(words, tagKeyOfBytes(state.table('meta').get(KEY)!));
    const start = { sequence, base, nowMs: clock.monotonicMs() };
    const writer = new FenceWriter(words, size, start, mechanisms, wordLimit);
    const fence = new Fence(deps, buffer, writer, size, sequence);
    await fence.#restore();
    await fence.#reserve();
    return fence;
  }

  /** Hashes tags by the state's key, as every thread does. */
  get hasher(): TagHasher {
    return this.#reader.hasher;
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

  /** Invalidates all tags. Rejects with a `NotDurableError` where that can't be written down. */
  async invalidate(invalidation: Invalidation): Promise<Invalidated & { readonly tags: number }> {
    const { tags, also, entry } = invalidation;
    this.invalidations += 1;
    if (tags.length > SLICE_TAGS) {
      const sequence = await this.#invalidateInSlices(invalidation);
      return { sequence, tags: tags.length, isTouched: true };
    }
    while (!this.#hasRoomFor(1)) await this.#reserve();
    const isTouched = entry !== undefined && this.#reader.touchedSince(entry.tags, entry.floor);
    const placed = this.#place(invalidation);
    const synced = this.#persist(placed, also);
    if (this.#mechanisms.durableBeforeAnswer) await synced;
    else synced.catch(() => {});
    return { sequence: placed.sequence, tags: tags.length, isTouched };
  }

  /**
   * Invalidates all that bears the tag but for one entry, of `tags` and asked for at `floor`. Resolves, when that is
   * synced, with the floor that this entry may have: the new sequence, or its own where one of its tags was invalidated
   * after it. Rejects as `invalidate` does.
   */
  async invalidateBut(tag: string, { tags, floor }: AskedEntry): Promise<{ readonly floor: number }> {
    while (!this.#hasRoomFor(1)) await this.#reserve();
    const isTouched = this.#reader.touchedSince(tags, floor);
    const placed = this.#placeHashes(this.hasher.hash([tag]), 'hard');
    this.invalidations += 1;
    await this.#persist(placed, undefined);
    return { floor: isTouched ? floor : placed.sequence };
  }

  /**
   * Holds tags, in force at once; `also` writes the hold down. Resolves when that is synced with the sequence from which
   * on they are held; rejects with a `NotDurableError`, and holds nothing, where it can't be.
   */
  async hold(tags: TagHashes, also: () => void): Promise<{ readonly sequence: number }> {
    while (!this.#hasRoomFor(1)) await this.#reserve();
    const sequence = this.#take();
    this.#writer.hold(tags, sequence, this.#clock.monotonicMs());
    try {
      await this.#persist({ sequence, change: { records: [], overflows: [] } }, also);
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
    while (!this.#hasRoomFor(1)) await this.#reserve();
    const sequence = this.#take();
    const all = this.#alsoAhead(joined([tags, this.hasher.hash(moreTags)]));
    const change = this.#writer.invalidate(all, 'hard', sequence, this.#clock.monotonicMs());
    this.invalidations += 1;
    await this.#persist({ sequence, change }, also);
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

  /** A slice a turn, while all of them are held, and then a slice a commit. */
  async #invalidateInSlices(invalidation: Invalidation): Promise<number> {
    const { tags, under = [], also } = invalidation;
    const slices = Array.from({ length: Math.ceil(tags.length / SLICE_TAGS) }, (_, i) => ({
      ...invalidation,
      tags: tags.slice(i * SLICE_TAGS, (i + 1) * SLICE_TAGS),
    }));
    const held = this.hasher.hash(under);
    const placed: Placed[] = [];
    while (!this.#hasRoomFor(1 + slices.length)) await this.#reserve();
    this.#writer.hold(held, this.#take(), this.#clock.monotonicMs());
    this.#promised += slices.length;
    for (const slice of slices) {
      this.#promised -= 1;
      placed.push(this.#place(slice));
      await nextTurn();
    }
    this.#writer.release(held);
    const last = placed.pop()!;
    for (const each of placed) {
      // Counted where it failed; the next commit that succeeds takes it along.
      await this.#persist(each, undefined).catch(() => {});
    }
    await this.#persist(last, also);
    return last.sequence;
  }

  /** In force for all threads when this returns. */
  #place({ tags, mode, by }: Invalidation): Placed {
    return this.#placeHashes(this.#alsoAhead(this.hasher.hash(tags), by), mode);
  }

  #placeHashes(tags: TagHashes, mode: InvalidationMode): Placed {
    const sequence = this.#take();
    return { sequence, change: this.#writer.invalidate(tags, mode, sequence, this.#clock.monotonicMs()) };
  }

  /** With their names for each feed that may have yet to tell of it: all but the one that did. */
  #alsoAhead(tags: TagHashes, by?: string): TagHashes {
    const feeds = this.#attested().filter((feed) => feed !== by);
    return feeds.length === 0
      ? tags
      : joined([tags, ...feeds.map((feed) => this.hasher.hashAhead(tags, feed))]);
  }

  #hasRoomFor(sequences: number): boolean {
    return this.#next + this.#promised + sequences <= this.#reserved;
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

  async #persist({ sequence, change }: Placed, also: (() => void) | undefined): Promise<void> {
    this.#noted = Math.max(this.#noted, sequence);
    this.#unwritten.add(change);
    let written: FenceChange = { records: [], overflows: [] };
    try {
      await this.#state.write(() => {
        written = this.#unwritten.take();
        this.#putRows(written);
        this.#meta.put('sequence', wide(this.#noted));
        this.#meta.put('base', wide(this.#writer.base));
        also?.();
      });
      this.isFailing = false;
      this.#durable = Math.max(this.#durable, sequence);
      this.#onDurable(this.#durable);
    } catch (error) {
      this.#unwritten.giveBack(written);
      throw this.#failed(error);
    }
  }

  /** As it stands now: what was written down meanwhile may be newer than the change. */
  #putRows(placed: FenceChange): void {
    const change = this.#writer.latest(placed);
    for (const record of change.records) this.#records.put(...recordRow(record));
    for (const overflow of change.overflows) this.#overflow.put(...overflowRow(overflow));
  }

  async #restore(): Promise<void> {
    const buckets = readNumber(this.#meta.get('buckets')) ?? this.#size.buckets;
    if (buckets !== this.#size.buckets) return this.#move(buckets);
    for (const row of this.#overflow.range()) this.#writer.restoreOverflow(readOverflow(row));
    for (const row of this.#records.range()) this.#writer.restoreRecord(readRecord(row));
    await this.#state.write(() => this.#meta.put('buckets', wide(this.#size.buckets)));
  }

  /**
   * Takes over the rows of a table of another size: records find their new buckets, and overflow counts for all buckets
   * of ordinary tags. Those behind them are as many in a table of any size.
   */
  async #move(bucketsBefore: number): Promise<void> {
    const overflows = [...this.#overflow.range()].map(readOverflow);
    const records = [...this.#records.range()].map(readRecord);
    const ordinary = overflows.filter(({ bucket }) => bucket < bucketsBefore);
    const special = overflows
      .filter(({ bucket }) => bucket >= bucketsBefore)
      .map(({ bucket, hard: ofHard, soft: ofSoft }) => ({
        bucket: bucket - bucketsBefore + this.#size.buckets,
        hard: ofHard,
        soft: ofSoft,
      }));
    const hard = ordinary.reduce((most, overflow) => Math.max(most, overflow.hard), 0);
    const soft = ordinary.reduce((most, overflow) => Math.max(most, overflow.soft), 0);
    this.#writer.restoreOverflowOfAll(hard, soft);
    for (const overflow of special) this.#writer.restoreOverflow(overflow);
    const changes = records.map((record) => this.#writer.moveRecord(record));
    await this.#state.write(() => {
      for (const record of records) this.#records.remove(recordRow(record)[0]);
      for (const overflow of overflows) this.#overflow.remove(overflowRow(overflow)[0]);
      if (hard > 0 || soft > 0) {
        for (let bucket = 0; bucket < this.#size.buckets; bucket += 1) {
          this.#overflow.put(...overflowRow({ bucket, hard, soft }));
        }
      }
      for (const overflow of special) this.#overflow.put(...overflowRow(overflow));
      for (const change of changes) this.#putRows(change);
      this.#meta.put('buckets', wide(this.#size.buckets));
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
      throw this.#failed(error);
    }
  }

  #failed(cause: unknown): NotDurableError {
    this.failures += 1;
    this.isFailing = true;
    return new NotDurableError(cause);
  }
}

const KEY = 'tag-key';

/**
 * Where the sequence goes on, and the base. Nothing that was stored earlier is believed, and no record of it is needed,
 * where the state has no key, as the records of such a state are those of unkeyed hashes, and where it is distrusted.
 */
async function startOf(
  { state, onNewKey, distrust = false }: FenceDependencies,
  mechanisms: Mechanisms,
): Promise<{ readonly sequence: number; readonly base: number }> {
  const meta = state.table('meta');
  const reserved = readNumber(meta.get('reserved')) ?? 0;
  const base = readNumber(meta.get('base')) ?? 0;
  const hasKey = meta.get(KEY) !== undefined;
  if (hasKey && !distrust) {
    const sequence = mechanisms.reservedBlocks ? reserved : (readNumber(meta.get('sequence')) ?? 0);
    return { sequence, base };
  }
  // Above every floor that was ever given, if any was.
  const above = reserved === 0 ? 0 : reserved + 1;
  const tables = [state.table('records'), state.table('overflow')];
  const rows = tables.flatMap((table) => [...table.range()].map(({ key }) => ({ table, key })));
  await state.write(() => {
    for (const { table, key } of rows) table.remove(key);
    if (!hasKey) {
      const key = mechanisms.tagKey ? newTagKey() : new Uint32Array(HASH_KEY_WORDS);
      meta.put(KEY, bytesOfHashes(key));
      onNewKey?.(new TagHasher(key));
    }
    meta.put('reserved', wide(above));
    meta.put('base', wide(above));
  });
  return { sequence: above, base: above };
}

export interface FenceDependencies {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly mechanisms?: Mechanisms;
  /** Told of each sequence that is on disk, before whoever asked for it is answered. */
  readonly onDurable?: (sequence: number) => void;
  /** The feeds of which anybody asks what was invalidated ahead of them. */
  readonly attested?: () => readonly string[];
  /** Within the change that gives the state a key: what other tables have of tags' hashes is hashed anew. */
  readonly onNewKey?: (hasher: TagHasher) => void;
  /** Nothing that was stored in earlier runs is believed until the origin has confirmed it. */
  readonly distrust?: boolean;
  /** Where an era ends, and how many sequences are reserved at a time. */
  readonly wordLimit?: number;
  readonly block?: number;
}

/** What is in force. */
interface Placed {
  readonly sequence: number;
  readonly change: FenceChange;
}

function joined(parts: readonly TagHashes[]): TagHashes {
  const all = new Uint32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The state could not be written: what was asked for is in force, but would not survive a crash. */
export class NotDurableError extends Error {
  readonly code = 'WEIR_NOT_DURABLE';

  constructor(cause: unknown) {
    super('the state could not be written and synced', { cause });
  }
}

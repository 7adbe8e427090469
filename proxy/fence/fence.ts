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

/** Sequences reserved on disk at a time. No sequence beyond the reservation is used. */
const BLOCK = 1_000_000;
/** The most tags that are published, or written to the state, in one turn of the loop: about two milliseconds. */
export const SLICE_TAGS = 1_000;

/** One invalidation: by an operator's purge, a write, or a feed's change. */
export interface Invalidation {
  readonly tags: readonly string[];
  readonly mode: InvalidationMode;
  /** The name of the feed. Absent: a purge or a write. */
  readonly by?: string;
  /**
   * Tags of which every entry with one of `tags` has at least one. They are held while `tags` are published over
   * several turns, so that no reader sees only some of them invalid. Absent: the tags may be published one after
   * another.
   */
  readonly under?: readonly string[];
  /** Puts and removals in the state, made durable in the same transaction, also without tags. */
  readonly also?: () => void;
  /** An answer that may be stored if nothing else has invalidated its tags since it was asked for. */
  readonly entry?: AskedEntry;
}

/** An answer's tags, and the sequence before its request was sent. */
export interface AskedEntry {
  readonly tags: TagHashes;
  readonly floor: number;
}

export interface Invalidated {
  readonly sequence: number;
  /** Whether another invalidation of a tag of `entry` after its floor is possible. */
  readonly isTouched: boolean;
}

/**
 * The one place that invalidates, in the coordinator: it orders all invalidations and holds. Each is in force for all
 * threads when it is published, and is answered when it is synced. The file is long because every operation takes part
 * in the same order of sequences, memory and state.
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
  /** Sequences that invalidations in slices have yet to take. */
  #promised = 0;
  #reserved: number;
  #reserving: Promise<void> | null = null;
  #durable = 0;
  /** The highest sequence of which a write to the state was begun. */
  #noted: number;
  /** Written by the next write to the state that succeeds. */
  readonly #dirty = new DirtyRecords();
  invalidations = 0;
  failures = 0;
  /** Whether the last write to the state failed. */
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

  /**
   * Loads the records of earlier runs and reserves the first sequences. `records`: the size of the table, in tags.
   * Rejects where the state can't be written.
   */
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

  /** Hashes tags with the state's key, as every thread does. */
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

  /** How many records were overwritten in full buckets. */
  get overflows(): number {
    return this.#writer.overflows;
  }

  get holds(): number {
    return this.#writer.holds;
  }

  /**
   * Invalidates all tags. Rejects with a `NotDurableError`, with the tags invalid, where the state can't be written.
   */
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
    else {
      synced.catch(() => {
        // `#persist` counts the failure, and the next commit that succeeds writes the records.
      });
    }
    return { sequence: placed.sequence, tags: tags.length, isTouched };
  }

  /**
   * Invalidates every entry with the tag except one, whose answer has `tags` and `floor`. Resolves, when that is
   * synced, with the floor that this entry may have: the new sequence, or its own where one of its tags may have been
   * invalidated after it. Rejects as `invalidate` does.
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
   * Holds tags, in force at once; `also` writes the hold to the state. Resolves, when that is synced, with the sequence
   * from which on they are held. Rejects with a `NotDurableError`, and holds nothing, where the state can't be written.
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

  /** Restores a hold that an earlier run wrote to the state. To be called before any reader exists. */
  restoreHold(tags: TagHashes): void {
    this.#writer.restoreHold(tags);
  }

  /**
   * Invalidates the tags of a hold and `moreTags`, in one transaction with `also`, then ends the hold. Rejects with a
   * `NotDurableError`, with the tags invalid and still held, where the state can't be written.
   */
  async release(
    tags: TagHashes,
    moreTags: readonly string[],
    also: () => void,
  ): Promise<{ readonly sequence: number }> {
    while (!this.#hasRoomFor(1)) await this.#reserve();
    const sequence = this.#take();
    const all = this.#withNotYetSeen(joined([tags, this.hasher.hash(moreTags)]));
    const change = this.#writer.invalidate(all, 'hard', sequence, this.#clock.monotonicMs());
    this.invalidations += 1;
    await this.#persist({ sequence, change }, also);
    this.#writer.release(tags);
    return { sequence };
  }

  /** Ends a hold under which nothing was changed. The caller must have removed the hold from the state before. */
  drop(tags: TagHashes): void {
    this.#writer.release(tags);
  }

  /** Whether a tag may have been invalidated after that sequence. Holds do not count. */
  touchedSince(tags: TagHashes, sequence: number): boolean {
    return this.#reader.touchedSince(tags, sequence);
  }

  /** Publishes a slice in each turn, while all tags are held, then writes a slice in each commit. */
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
      await this.#persist(each, undefined).catch(() => {
        // `#persist` counts the failure, and the next commit that succeeds writes the records.
      });
    }
    await this.#persist(last, also);
    return last.sequence;
  }

  /** In force for all threads when this returns. */
  #place({ tags, mode, by }: Invalidation): Placed {
    return this.#placeHashes(this.#withNotYetSeen(this.hasher.hash(tags), by), mode);
  }

  #placeHashes(tags: TagHashes, mode: InvalidationMode): Placed {
    const sequence = this.#take();
    return { sequence, change: this.#writer.invalidate(tags, mode, sequence, this.#clock.monotonicMs()) };
  }

  /** The tags, and for each attested feed except `by` the tags that mark the change as not yet seen by that feed. */
  #withNotYetSeen(tags: TagHashes, by?: string): TagHashes {
    const feeds = this.#attested().filter((feed) => feed !== by);
    return feeds.length === 0
      ? tags
      : joined([tags, ...feeds.map((feed) => this.hasher.hashNotYetSeen(tags, feed))]);
  }

  #hasRoomFor(sequences: number): boolean {
    return this.#next + this.#promised + sequences <= this.#reserved;
  }

  #take(): number {
    this.#next += 1;
    if (this.#reserved - this.#next < this.#block / 2) {
      this.#reserve().catch(() => {
        // `#reserveBlock` counts the failure, and a caller beyond the reservation tries again.
      });
    }
    return this.#next;
  }

  async #persist({ sequence, change }: Placed, also: (() => void) | undefined): Promise<void> {
    this.#noted = Math.max(this.#noted, sequence);
    this.#dirty.add(change);
    let written: FenceChange = { records: [], overflows: [] };
    try {
      await this.#state.write(() => {
        written = this.#dirty.take();
        this.#putRows(written);
        this.#meta.put('sequence', wide(this.#noted));
        this.#meta.put('base', wide(this.#writer.base));
        also?.();
      });
      this.isFailing = false;
      this.#durable = Math.max(this.#durable, sequence);
      this.#onDurable(this.#durable);
    } catch (error) {
      this.#dirty.giveBack(written);
      throw this.#failed(error);
    }
  }

  /** Writes what stands in the table now, which may be newer than the change. */
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
   * Takes over the rows of a table of another size. Records move to their new buckets; the highest overflow of an
   * ordinary bucket is raised in all of them. The special regions behind them have the same size in every table.
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
 * The first sequence, and the base. Where the state has no key, its records are of unkeyed hashes; where it is
 * distrusted, they may be incomplete. Then the base is raised above every floor, which invalidates all that is stored,
 * and the records are removed.
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
  // Above every floor that an earlier run has used.
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
  /** Called with each sequence that is synced, before the invalidation is answered. */
  readonly onDurable?: (sequence: number) => void;
  /** Names of the feeds whose routes distinguish changes that the feed has not seen yet. */
  readonly attested?: () => readonly string[];
  /** Called within the change that gives the state a key, to hash anew the tags that other tables hold. */
  readonly onNewKey?: (hasher: TagHasher) => void;
  /** Invalidates everything that was stored in earlier runs. */
  readonly distrust?: boolean;
  /** For tests: where an era ends, and how many sequences are reserved at a time. */
  readonly wordLimit?: number;
  readonly block?: number;
}

/** A change that is published in the table. */
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

/** The state could not be written: the invalidation is in force, but would not survive a crash. */
export class NotDurableError extends Error {
  readonly code = 'WEIR_NOT_DURABLE';

  constructor(cause: unknown) {
    super('the state could not be written and synced', { cause });
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../threads/clock.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';
import { FenceState, type PlacedChange } from './fence-state.ts';
import { fenceSize, SharedWords, storeKey } from './layout.ts';
import { FenceReader } from './reader.ts';
import { Sequences } from './sequences.ts';
import { startOf, type StartDependencies } from './start.ts';
import type { TagHasher, TagHashes } from './tag-hash.ts';
import { FenceWriter, type InvalidationMode } from './writer.ts';

/** The number of sequences that are reserved on disk at a time. No sequence beyond the reservation is used. */
const BLOCK = 1_000_000;
/** The maximum of tags that are published or written in one turn of the loop, which takes about two milliseconds. */
export const SLICE_TAGS = 1_000;

/** One invalidation: by an operator's purge, a write, or a feed's change. */
export interface Invalidation {
  readonly tags: readonly string[];
  readonly mode: InvalidationMode;
  /** The name of the feed; absent: a purge or a write. */
  readonly by?: string;
  /**
   * Covering tags: every entry with one of `tags` has at least one of these. They are held while `tags` are published
   * over several turns, so that no reader sees only some of them invalid. Absent: `tags` may be published one after
   * another.
   */
  readonly under?: readonly string[];
  /** Puts and removals in the state, which the same transaction makes durable. It runs even without tags. */
  readonly also?: () => void;
  /** A response that may be stored if nothing else has invalidated its tags since its request was sent. */
  readonly entry?: AskedEntry;
}

/** A response's tags, and the sequence before its request was sent. */
export interface AskedEntry {
  readonly tags: TagHashes;
  readonly floor: number;
}

export interface Invalidated {
  readonly sequence: number;
  /** Whether another invalidation may have touched a tag of `entry` after its floor. */
  readonly isTouched: boolean;
}

/**
 * The only place that invalidates. It runs in the coordinator and orders all invalidations and holds. Each is in force
 * for all threads when it is published. Its caller gets the answer when it is synced.
 */
export class Fence {
  readonly buffer: SharedArrayBuffer;
  readonly #writer: FenceWriter;
  readonly #reader: FenceReader;
  readonly #rows: FenceState;
  readonly #sequences: Sequences;
  readonly #clock: Clock;
  readonly #mechanisms: Mechanisms;
  readonly #attested: () => readonly string[];
  invalidations = 0;

  private constructor(
    deps: FenceDependencies,
    buffer: SharedArrayBuffer,
    writer: FenceWriter,
    parts: FenceParts,
  ) {
    this.buffer = buffer;
    this.#writer = writer;
    this.#reader = new FenceReader(new SharedWords(buffer), deps.clock);
    this.#rows = parts.rows;
    this.#sequences = parts.sequences;
    this.#clock = deps.clock;
    this.#mechanisms = deps.mechanisms ?? ALL_MECHANISMS;
    this.#attested = deps.attested ?? (() => []);
  }

  /**
   * Loads the records of earlier runs and reserves the first sequences. `records` is the size of the table in tags.
   * Rejects if the state can't be written.
   */
  static async open(records: number, deps: FenceDependencies): Promise<Fence> {
    const {
      state,
      clock,
      wordLimit,
      mechanisms = ALL_MECHANISMS,
      block = BLOCK,
      onDurable = () => {},
    } = deps;
    const size = fenceSize(records);
    const buffer = new SharedArrayBuffer(size.words * 4);
    const words = new SharedWords(buffer);
    const { key, sequence, base } = await startOf(deps, mechanisms);
    storeKey(words, key);
    const start = { sequence, base, nowMs: clock.monotonicMs() };
    const writer = new FenceWriter(words, size, start, mechanisms, wordLimit);
    const rows = new FenceState(state, writer, size, onDurable);
    const sequences = new Sequences(sequence, block, (reserved) => rows.reserve(reserved));
    const fence = new Fence(deps, buffer, writer, { rows, sequences });
    await rows.restore();
    await sequences.reserve();
    return fence;
  }

  /** The hasher with the state's key, which every thread uses. */
  get hasher(): TagHasher {
    return this.#reader.hasher;
  }

  /** The last sequence in force. */
  get sequence(): number {
    return this.#writer.sequence;
  }

  /** The last sequence that is on disk. */
  get durableSequence(): number {
    return this.#rows.durableSequence;
  }

  /** The number of records that were overwritten in full buckets. */
  get overflows(): number {
    return this.#writer.overflows;
  }

  /** The number of failed writes to the state. */
  get failures(): number {
    return this.#rows.failures;
  }

  /** Whether the last write to the state failed. */
  get isFailing(): boolean {
    return this.#rows.isFailing;
  }

  get holds(): number {
    return this.#writer.holds;
  }

  /**
   * Invalidates all tags. Rejects with a `NotDurableError` if the state can't be written; the tags are then invalid.
   */
  async invalidate(invalidation: Invalidation): Promise<Invalidated & { readonly tags: number }> {
    const { tags, also, entry } = invalidation;
    this.invalidations += 1;
    if (tags.length > SLICE_TAGS) {
      const sequence = await this.#invalidateInSlices(invalidation);
      return { sequence, tags: tags.length, isTouched: true };
    }
    while (!this.#sequences.hasRoomFor(1)) await this.#sequences.reserve();
    const isTouched = entry !== undefined && this.#reader.touchedSince(entry.tags, entry.floor);
    const placed = this.#place(invalidation);
    const synced = this.#rows.persist(placed, also);
    if (this.#mechanisms.durableBeforeAnswer) await synced;
    else {
      synced.catch(() => {
        // `FenceState` counts the failure. The next successful commit writes the records.
      });
    }
    return { sequence: placed.sequence, tags: tags.length, isTouched };
  }

  /**
   * Invalidates every entry with the tag except one, whose response has `tags` and `floor`. When that is synced, resolves
   * with the floor that this entry may have: the new sequence, or its own if one of its tags may have been invalidated
   * after it. Rejects as `invalidate` does.
   */
  async invalidateBut(tag: string, { tags, floor }: AskedEntry): Promise<{ readonly floor: number }> {
    while (!this.#sequences.hasRoomFor(1)) await this.#sequences.reserve();
    const isTouched = this.#reader.touchedSince(tags, floor);
    const placed = this.#placeHashes(this.hasher.hash([tag]), 'hard', this.#sequences.take());
    this.invalidations += 1;
    await this.#rows.persist(placed, undefined);
    return { floor: isTouched ? floor : placed.sequence };
  }

  /**
   * Holds tags, in force at once. `also` writes the hold to the state. When that is synced, resolves with the sequence
   * at which the hold began. Rejects with a `NotDurableError` and holds nothing if the state can't be written.
   */
  async hold(tags: TagHashes, also: () => void): Promise<{ readonly sequence: number }> {
    while (!this.#sequences.hasRoomFor(1)) await this.#sequences.reserve();
    const sequence = this.#sequences.take();
    this.#writer.hold(tags, sequence, this.#clock.monotonicMs());
    try {
      await this.#rows.persist({ sequence, change: { records: [], overflows: [] } }, also);
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
   * `NotDurableError` if the state can't be written; the tags are then invalid and still held.
   */
  async release(
    tags: TagHashes,
    moreTags: readonly string[],
    also: () => void,
  ): Promise<{ readonly sequence: number }> {
    while (!this.#sequences.hasRoomFor(1)) await this.#sequences.reserve();
    const sequence = this.#sequences.take();
    const all = this.#withNotYetSeen(joined([tags, this.hasher.hash(moreTags)]));
    const placed = this.#placeHashes(all, 'hard', sequence);
    this.invalidations += 1;
    await this.#rows.persist(placed, also);
    this.#writer.release(tags);
    return { sequence };
  }

  /** Ends a hold without an invalidation. The caller must have removed the hold from the state before. */
  drop(tags: TagHashes): void {
    this.#writer.release(tags);
  }

  /** Whether a tag may have been invalidated after that sequence. Ignores holds. */
  touchedSince(tags: TagHashes, sequence: number): boolean {
    return this.#reader.touchedSince(tags, sequence);
  }

  /** Publishes a slice in each turn while the covering tags are held, then writes a slice in each commit. */
  async #invalidateInSlices(invalidation: Invalidation): Promise<number> {
    const { tags, under = [], also } = invalidation;
    const slices = Array.from({ length: Math.ceil(tags.length / SLICE_TAGS) }, (_, i) => ({
      ...invalidation,
      tags: tags.slice(i * SLICE_TAGS, (i + 1) * SLICE_TAGS),
    }));
    const held = this.hasher.hash(under);
    const placed: PlacedChange[] = [];
    while (!this.#sequences.hasRoomFor(1 + slices.length)) await this.#sequences.reserve();
    this.#writer.hold(held, this.#sequences.take(), this.#clock.monotonicMs());
    this.#sequences.promise(slices.length);
    for (const slice of slices) {
      placed.push(this.#place(slice, this.#sequences.takePromised()));
      await nextTurn();
    }
    this.#writer.release(held);
    const last = placed.pop()!;
    for (const each of placed) {
      await this.#rows.persist(each, undefined).catch(() => {
        // `FenceState` counts the failure. The next successful commit writes the records.
      });
    }
    await this.#rows.persist(last, also);
    return last.sequence;
  }

  /** Publishes the invalidation. It is in force for all threads when this returns. */
  #place({ tags, mode, by }: Invalidation, sequence = this.#sequences.take()): PlacedChange {
    return this.#placeHashes(this.#withNotYetSeen(this.hasher.hash(tags), by), mode, sequence);
  }

  #placeHashes(tags: TagHashes, mode: InvalidationMode, sequence: number): PlacedChange {
    return { sequence, change: this.#writer.invalidate(tags, mode, sequence, this.#clock.monotonicMs()) };
  }

  /** The tags and, for each attested feed except `by`, the tags that mark the change as not yet seen by that feed. */
  #withNotYetSeen(tags: TagHashes, by?: string): TagHashes {
    const feeds = this.#attested().filter((feed) => feed !== by);
    return feeds.length === 0
      ? tags
      : joined([tags, ...feeds.map((feed) => this.hasher.hashNotYetSeen(tags, feed))]);
  }
}

interface FenceParts {
  readonly rows: FenceState;
  readonly sequences: Sequences;
}

export interface FenceDependencies extends StartDependencies {
  readonly clock: Clock;
  readonly mechanisms?: Mechanisms;
  /** Called with each sequence that is synced, before the invalidation is answered. */
  readonly onDurable?: (sequence: number) => void;
  /** The names of the feeds whose routes distinguish changes that the feed has not seen yet. */
  readonly attested?: () => readonly string[];
  /** For tests: the relative sequence at which an era ends, and the number of sequences in a reservation. */
  readonly wordLimit?: number;
  readonly block?: number;
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

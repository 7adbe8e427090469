/**
 * The one writer of the cache's disk tier, in the coordinator. Its promises resolve when the change is committed, and
 * so visible to every reader. It is long because every operation on an entry is here; the queue, the transactions and
 * the records have files of their own.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { replaces } from '../../../policies/rfc9111/parts.ts';
import { PAGE_BYTES } from '../../state/file-check.ts';
import type { WriteProbe } from '../../state/write-probe.ts';
import type { EntryHead } from '../entry-head.ts';
import { Committer, SLICE_MS } from './committer.ts';
import { countPages, type PageCounts, type Tables } from './environment.ts';
import type { DiskEvent } from './events.ts';
import { chunkCount, CHUNK_BYTES, idKey, openHead, type StoredHead } from './format.ts';
import { DiskIndex } from './index.ts';
import { WriteQueue, type Removed } from './write-queue.ts';
import type { DiskQuota } from './quota.ts';
import { WriteGuard, type WriteGuardState } from './write-guard.ts';

export interface DiskStats {
  readonly entries: number;
  /** Content bytes of all entries. */
  readonly bytes: number;
  /** Bytes of the file that are in use, and of the whole file. */
  readonly usedBytes: number;
  readonly fileBytes: number;
  readonly evictions: number;
  /** Entries removed because their key had more variants than its route allows. */
  readonly variantsRemoved: number;
  /** Entries that were refused: incomplete ones for want of room, and whole ones. */
  readonly refused: number;
  /** Records that failed their checksum when the writer read them. */
  readonly corrupt: number;
  /** Entries removed because their content was missing or failed its checksum. */
  readonly discarded: number;
  /** How often the file system had no room or failed. */
  readonly fullErrors: number;
  /** Entries of routes with `evict: last` leave no room for others. */
  readonly evictLastFull: boolean;
  readonly storing: WriteGuardState;
}

export interface DiskWriterOptions {
  readonly path: string;
  readonly probe: WriteProbe;
  readonly tables: Tables;
  readonly quota: DiskQuota;
  /** The most bytes of new entries that may wait to be written. */
  readonly queueBytes: number;
  /** Milliseconds since 1970 by a clock that never goes back. */
  now(): number;
  log(event: DiskEvent): void;
  /**
   * Called with variants that were removed because their key has more than its route allows. Absent: no worker has
   * them.
   */
  surplus?(key: string, ids: readonly string[]): void;
}

/** `absent`: no such entry is stored; `refused`: nothing can be written, and the entry is as it was. */
export type ChangeOutcome = 'done' | 'absent' | 'refused';

/** The latest time that a record can hold: six bytes of milliseconds. */
const LAST_MS = 2 ** 48 - 1;

/** An entry whose chunks are being written, in order; its head is still to come. */
interface PartialEntry {
  bytes: number;
  chunks: number;
  broken: boolean;
}

/** The least time between two moves of an entry in the order of eviction. */
const TOUCH_AFTER_MS = 60_000;
const IDS_PER_TOUCH = 64;

export class DiskWriter {
  readonly #options: DiskWriterOptions;
  readonly #index: DiskIndex;
  readonly #committer: Committer;
  readonly #guard: WriteGuard;
  readonly #queue: WriteQueue;
  readonly #partials = new Map<string, PartialEntry>();
  /** As of the last time that LMDB could be read. */
  #counted: PageCounts & { readonly entries: number };
  /**
   * How far the clock was set back since the cache was last used; added to the clock, so that the order of eviction
   * holds.
   */
  readonly #behindMs: number;
  #refused = 0;
  #discarded = 0;
  #variantsRemoved = 0;

  constructor(options: DiskWriterOptions) {
    this.#options = options;
    const { tables, probe, quota, queueBytes, path, log } = options;
    this.#index = new DiskIndex(tables);
    this.#committer = new Committer(tables.root, probe);
    this.#guard = new WriteGuard(path, quota.batchBytes, log);
    const parts = { index: this.#index, committer: this.#committer, guard: this.#guard };
    this.#queue = new WriteQueue({ ...parts, tables, quota, queueBytes, log });
    this.#counted = this.#count();
    this.#behindMs = Math.max(0, this.#index.newestUseMs() - options.now());
  }

  /**
   * Begins an entry: `append` its content in order, then `commit` or `abort`. The id must be new. Throws a RangeError
   * as `idKey`.
   */
  begin(id: string): void {
    idKey(id);
    if (this.#guard.state === 'stopped') this.#guard.check();
    this.#partials.set(id, { bytes: 0, chunks: 0, broken: false });
  }

  /**
   * Writes the next chunk of an entry: `CHUNK_BYTES` long, only the last may be shorter. False: it is not stored, and
   * the entry is lost (no room, a failing disk, an unknown id, a chunk out of order). `bytes` must not change before
   * the promise resolves. Throws a RangeError for any other length.
   */
  async append(id: string, index: number, bytes: Uint8Array): Promise<boolean> {
    if (bytes.length === 0 || bytes.length > CHUNK_BYTES)
      throw new RangeError(`a chunk of ${bytes.length} bytes`);
    const stored = await this.#queue.do(
      bytes.length,
      () => {
        const partial = this.#partials.get(id);
        if (partial === undefined || !continues(partial, index)) return false;
        if (partial.bytes + bytes.length > this.#options.quota.entryBytes) return false;
        this.#index.putChunk(id, index, bytes);
        partial.bytes += bytes.length;
        partial.chunks += 1;
        return true;
      },
      // Without room for the head, which follows, the content would be written in vain.
      index === 0 ? HEAD_BYTES : 0,
    );
    if (stored !== true) this.#break(id);
    return stored === true;
  }

  /**
   * Makes a whole entry visible under its key. It replaces an older entry of the same variant, and the variant that was
   * stored first where there are more than `maxVariants`. Refused where chunks are missing, where an entry with a
   * higher floor is there, or where nothing can be stored.
   */
  async commit(head: EntryHead, { maxVariants }: { maxVariants: number }): Promise<'stored' | 'refused'> {
    const isBroken = this.#partials.get(head.id)?.broken === true;
    const outcome = isBroken
      ? null
      : await this.#queue.do(
          0,
          () => this.#store(head, maxVariants),
          waitingBytesOf(head),
          head.sizeBytes > 0,
        );
    if (outcome === null) {
      if (this.#partials.get(head.id)?.broken !== true) this.#refused += 1;
      this.abort(head.id);
      return 'refused';
    }
    this.#partials.delete(head.id);
    this.#variantsRemoved += outcome.surplus.length;
    if (outcome.surplus.length > 0) this.#options.surplus?.(head.key, outcome.surplus);
    this.#queue.discard(outcome.removed);
    return 'stored';
  }

  /** Gives up an incomplete entry and deletes its chunks. An unknown id is ignored. */
  abort(id: string): void {
    const partial = this.#partials.get(id);
    if (partial === undefined) return;
    this.#partials.delete(id);
    if (!partial.broken && partial.chunks > 0) this.#queue.discard([{ id, sizeBytes: partial.bytes }]);
  }

  /** Changes the head of the entry with that id. Its id, key, size and rank stay, whatever `change` returns. */
  async update(id: string, key: string, change: (head: EntryHead) => EntryHead): Promise<ChangeOutcome> {
    const updated = await this.#queue.do(0, () => {
      const stored = this.#index.find(id, key);
      if (stored === null) return false;
      const { sizeBytes, evictLast } = stored.head;
      const head = { ...change(stored.head), id, key, sizeBytes, evictLast };
      this.#index.replaceHead({ head, storedAtMs: stored.storedAtMs });
      return true;
    });
    return outcomeOf(updated);
  }

  async remove(id: string, key: string): Promise<ChangeOutcome> {
    const removed = await this.#queue.do(0, () => this.#removeKnown(id, key));
    this.#queue.discard(removed ?? []);
    return outcomeOf(removed === null ? null : removed.length > 0);
  }

  /**
   * Resolves when what was committed is on the disk, so that a power failure takes none of it back; false: it is not.
   */
  async synced(): Promise<boolean> {
    return (await this.#committer.sync()) === null;
  }

  /**
   * Removes an entry, complete or not, whose content is missing or damaged. Resolves when no reader finds it, or when
   * nothing can be written and it stays on the disk.
   */
  async discard(id: string, key: string): Promise<void> {
    this.#break(id);
    if ((await this.remove(id, key)) !== 'done') return;
    this.#discarded += 1;
    this.#options.log({ kind: 'entry-damaged', id });
  }

  /** Moves entries that were used back in the order of eviction. */
  touch(ids: readonly string[]): void {
    const nowMs = this.#nowMs();
    const stale = this.#stale(ids, nowMs);
    for (let i = 0; i < stale.length; i += IDS_PER_TOUCH) {
      const some = stale.slice(i, i + IDS_PER_TOUCH);
      void this.#queue.do(0, () => some.forEach((id) => this.#index.touch(id, nowMs, TOUCH_AFTER_MS)));
    }
  }

  /** Keeps the chunks of an entry that a worker reads, though it is removed, until `unpin` was called as often. */
  pin(id: string): void {
    this.#queue.orphans.pin(id);
  }

  unpin(id: string): void {
    this.#queue.unpin(id);
  }

  /**
   * Yields every entry that `matches`, in no order, in slices of a few milliseconds, which may be empty. Entries that
   * are stored meanwhile may be missing.
   */
  async *scan(matches: (head: EntryHead) => boolean): AsyncGenerator<readonly EntryHead[], void, undefined> {
    let from: Buffer | null = null;
    for (;;) {
      const slice = this.#scanSlice(from, matches);
      yield slice.heads;
      if (slice.next === null) return;
      from = slice.next;
      await nextTurn();
    }
  }

  /** Whether new entries are stored. */
  get storing(): DiskStats['storing'] {
    return this.#guard.state;
  }

  /** Entries of `evict: last` leave no room for others. */
  get evictLastFull(): boolean {
    return this.#queue.evictLastFull;
  }

  stats(): DiskStats {
    if (this.#guard.state !== 'stopped-until-restart') this.#counted = this.#count();
    const { used, file, entries } = this.#counted;
    return {
      entries,
      bytes: this.#index.bytes,
      usedBytes: used * PAGE_BYTES,
      fileBytes: file * PAGE_BYTES,
      evictions: this.#queue.evictions,
      variantsRemoved: this.#variantsRemoved,
      refused: this.#refused,
      corrupt: this.#index.corrupt,
      discarded: this.#discarded,
      fullErrors: this.#guard.stops,
      evictLastFull: this.#queue.evictLastFull,
      storing: this.#guard.state,
    };
  }

  /** Resolves when every operation is done and every orphaned chunk that nobody reads is deleted. */
  idle(): Promise<void> {
    return this.#queue.idle();
  }

  /** Finishes all operations and closes the files. Incomplete entries are lost. */
  async close(): Promise<void> {
    await this.#queue.close();
    // After such a failure, closing LMDB may never end. The end of the process closes it without harm.
    if (this.#guard.state === 'stopped-until-restart') return;
    await this.#committer.sync();
    await this.#options.tables.root.close();
    this.#options.probe.close();
  }

  #count(): PageCounts & { readonly entries: number } {
    return { ...countPages(this.#options.tables), entries: this.#index.entries };
  }

  #store(head: EntryHead, maxVariants: number): { removed: Removed[]; surplus: string[] } | null {
    if (!this.#isWhole(head)) return null;
    const variants = this.#index.variants(head.key);
    const same = variants.filter((each) => replaces(head.meta, each.head.meta));
    if (same.some((each) => each.head.floor > head.floor)) return null;
    const others = variants.filter((each) => !same.includes(each)).toSorted(byStoringTime);
    const surplus = others.slice(0, Math.max(0, others.length - maxVariants + 1));
    const removed = [...same, ...surplus].flatMap((each) => this.#removeKnown(each.head.id, head.key));
    this.#index.insert({ head, storedAtMs: this.#nowMs() });
    return { removed, surplus: surplus.map((each) => each.head.id) };
  }

  #nowMs(): number {
    return Math.min(LAST_MS, Math.trunc(this.#options.now() + this.#behindMs));
  }

  #isWhole(head: EntryHead): boolean {
    const partial = this.#partials.get(head.id);
    if (partial === undefined || partial.broken) return false;
    return partial.bytes === head.sizeBytes && partial.chunks === chunkCount(head.sizeBytes);
  }

  #stale(ids: readonly string[], nowMs: number): string[] {
    if (this.#guard.state === 'stopped-until-restart') return [];
    try {
      return ids.filter((id) => this.#index.isWorthTouching(id, nowMs, TOUCH_AFTER_MS));
    } catch (error) {
      this.#guard.giveUp(error instanceof Error ? error.message : String(error));
      return [];
    }
  }

  #removeKnown(id: string, key: string): Removed[] {
    if (this.#index.find(id, key) === null) return [];
    const place = this.#index.remove(id);
    return place === null ? [] : [{ id, sizeBytes: place.sizeBytes }];
  }

  #break(id: string): void {
    const partial = this.#partials.get(id);
    if (partial === undefined || partial.broken) return;
    partial.broken = true;
    this.#refused += 1;
    // Deleting its chunks at once makes room for others. The id stays known until the worker gives it up.
    if (partial.chunks > 0) this.#queue.discard([{ id, sizeBytes: partial.bytes }]);
  }

  #scanSlice(
    from: Buffer | null,
    matches: (head: EntryHead) => boolean,
  ): { heads: EntryHead[]; next: Buffer | null } {
    const heads: EntryHead[] = [];
    const deadline = performance.now() + SLICE_MS;
    const range = from === null ? {} : { start: from, exclusiveStart: true };
    for (const { key, value } of this.#options.tables.heads.getRange(range)) {
      const stored = openHead(key, value);
      if (stored !== null && matches(stored.head)) heads.push(stored.head);
      if (performance.now() >= deadline) return { heads, next: key };
    }
    return { heads, next: null };
  }
}

function outcomeOf(isDone: boolean | null): ChangeOutcome {
  return isDone === null ? 'refused' : isDone ? 'done' : 'absent';
}

/** Whether the chunk is in order and behind full chunks only, from which readers compute the place of each byte. */
function continues(partial: PartialEntry, index: number): boolean {
  return !partial.broken && partial.chunks === index && partial.bytes === index * CHUNK_BYTES;
}

function byStoringTime(a: StoredHead, b: StoredHead): number {
  return a.storedAtMs - b.storedAtMs;
}

/** Memory of a head's objects and arrays, and of the message that brought it. */
const HEAD_BYTES = 2_048;

/** Bytes of memory that a head takes while it waits. */
function waitingBytesOf({ key, url, tags, tagHashes, meta }: EntryHead): number {
  const strings = [...tags, ...meta.fields, ...meta.responseTags];
  const text = strings.reduce((sum, string) => sum + string.length, key.length + url.length);
  return HEAD_BYTES + tagHashes.byteLength + text;
}

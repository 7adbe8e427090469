/**
 * The one writer of the cache's disk tier, in the coordinator. A promise that it gives resolves when what it was asked
 * is committed, and so visible to every reader.
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
  /** Fills that were not stored though they were whole, or were lost for want of room. */
  readonly refused: number;
  /** Records that failed their checksum when the writer read them. */
  readonly corrupt: number;
  /** Entries removed because content of theirs was missing or failed its checksum. */
  readonly discarded: number;
  /** Times that the file system had no room or failed. */
  readonly fullErrors: number;
  /** Entries of routes with `evict: last` leave no room for anything. */
  readonly evictLastFull: boolean;
  readonly storing: WriteGuardState;
}

export interface DiskWriterOptions {
  readonly path: string;
  readonly probe: WriteProbe;
  readonly tables: Tables;
  readonly room: DiskQuota;
  /** Of what is new and waits to be written. */
  readonly queueBytes: number;
  /** Milliseconds, as the wall clock's, but never going back. */
  now(): number;
  log(event: DiskEvent): void;
  /** Variants of a key that had to go, for it has more than its route allows. Absent: nobody has them elsewhere. */
  surplus?(key: string, ids: readonly string[]): void;
}

/** `absent`: no such entry is stored; `refused`: nothing can be written, and the entry is as it was. */
export type ChangeOutcome = 'done' | 'absent' | 'refused';

/** The latest moment that there is room for on disk. */
const LAST_MS = 2 ** 48 - 1;

/** A fill under way: its chunks in order, its head still to come. */
interface Fill {
  bytes: number;
  chunks: number;
  broken: boolean;
}

/** An entry that was used is moved in the order of eviction at most this often. */
const TOUCH_AFTER_MS = 60_000;
const IDS_PER_TOUCH = 64;

export class DiskWriter {
  readonly #options: DiskWriterOptions;
  readonly #ledger: DiskIndex;
  readonly #commits: Committer;
  readonly #storing: WriteGuard;
  readonly #pump: WriteQueue;
  readonly #fills = new Map<string, Fill>();
  /** As of the last time that LMDB could be asked. */
  #counted: PageCounts & { readonly entries: number };
  /** How far the clock was set back since the cache was last used: the order of eviction goes on from there. */
  readonly #behindMs: number;
  #refused = 0;
  #discarded = 0;
  #variantsRemoved = 0;

  constructor(options: DiskWriterOptions) {
    this.#options = options;
    const { tables, probe, room, queueBytes, path, log } = options;
    this.#ledger = new DiskIndex(tables);
    this.#commits = new Committer(tables.root, probe);
    this.#storing = new WriteGuard(path, room.batchBytes, log);
    const own = { ledger: this.#ledger, commits: this.#commits, storing: this.#storing };
    this.#pump = new WriteQueue({ ...own, tables, room, queueBytes, log });
    this.#counted = this.#count();
    this.#behindMs = Math.max(0, this.#ledger.newestUseMs() - options.now());
  }

  /** A fill begins: `append` its content in order, then `commit` or `abort`. The id was never used before. */
  begin(id: string): void {
    idKey(id);
    if (this.#storing.state === 'stopped') this.#storing.check();
    this.#fills.set(id, { bytes: 0, chunks: 0, broken: false });
  }

  /**
   * The next chunk of a fill: `CHUNK_BYTES` long, only the last may be shorter. False: it is not stored and the fill is
   * lost (no room, a failing disk, an unknown id, a chunk out of order). `bytes` must not be changed before it resolves.
   */
  async append(id: string, index: number, bytes: Uint8Array): Promise<boolean> {
    if (bytes.length === 0 || bytes.length > CHUNK_BYTES)
      throw new RangeError(`a chunk of ${bytes.length} bytes`);
    const stored = await this.#pump.do(
      bytes.length,
      () => {
        const fill = this.#fills.get(id);
        if (fill === undefined || !continues(fill, index)) return false;
        if (fill.bytes + bytes.length > this.#options.room.entryBytes) return false;
        this.#ledger.putChunk(id, index, bytes);
        fill.bytes += bytes.length;
        fill.chunks += 1;
        return true;
      },
      // The head will follow: with room for the content alone, what is written would be in vain.
      index === 0 ? HEAD_BYTES : 0,
    );
    if (stored !== true) this.#break(id);
    return stored === true;
  }

  /**
   * The fill is whole: from here on it is found under its key. An older entry of the same variant goes; so does the least
   * recently stored variant where there are more than `maxVariants`. Refused where chunks are missing, where a newer
   * entry (by its floor) is there already, or where nothing can be stored.
   */
  async commit(head: EntryHead, { maxVariants }: { maxVariants: number }): Promise<'stored' | 'refused'> {
    const isBroken = this.#fills.get(head.id)?.broken === true;
    const outcome = isBroken
      ? null
      : await this.#pump.do(
          0,
          () => this.#store(head, maxVariants),
          waitingBytesOf(head),
          head.sizeBytes > 0,
        );
    if (outcome === null) {
      if (this.#fills.get(head.id)?.broken !== true) this.#refused += 1;
      this.abort(head.id);
      return 'refused';
    }
    this.#fills.delete(head.id);
    this.#variantsRemoved += outcome.surplus.length;
    if (outcome.surplus.length > 0) this.#options.surplus?.(head.key, outcome.surplus);
    this.#pump.discard(outcome.removed);
    return 'stored';
  }

  /** The fill is given up; its chunks are deleted. Nothing happens where there is no such fill. */
  abort(id: string): void {
    const fill = this.#fills.get(id);
    if (fill === undefined) return;
    this.#fills.delete(id);
    if (!fill.broken && fill.chunks > 0) this.#pump.discard([{ id, sizeBytes: fill.bytes }]);
  }

  /** Changes the head of the entry with that id. Its id, key, size and rank stay, whatever `change` returns. */
  async update(id: string, key: string, change: (head: EntryHead) => EntryHead): Promise<ChangeOutcome> {
    const updated = await this.#pump.do(0, () => {
      const stored = this.#ledger.find(id, key);
      if (stored === null) return false;
      const { sizeBytes, evictLast } = stored.head;
      const head = { ...change(stored.head), id, key, sizeBytes, evictLast };
      this.#ledger.replaceHead({ head, storedAtMs: stored.storedAtMs });
      return true;
    });
    return outcomeOf(updated);
  }

  async remove(id: string, key: string): Promise<ChangeOutcome> {
    const removed = await this.#pump.do(0, () => this.#removeKnown(id, key));
    this.#pump.discard(removed ?? []);
    return outcomeOf(removed === null ? null : removed.length > 0);
  }

  /** Resolves when what was committed is on the disk, so that a power failure takes none of it back; false: it is not. */
  async synced(): Promise<boolean> {
    return (await this.#commits.sync()) === null;
  }

  /**
   * Content of this entry, or of a fill that is under way with its id, is missing or damaged. Resolves when no reader
   * finds it; where nothing can be written, it stays on the disk.
   */
  async discard(id: string, key: string): Promise<void> {
    this.#break(id);
    if ((await this.remove(id, key)) !== 'done') return;
    this.#discarded += 1;
    this.#options.log({ kind: 'entry-damaged', id });
  }

  /** These were used: they are evicted later. */
  touch(ids: readonly string[]): void {
    const nowMs = this.#nowMs();
    const stale = this.#stale(ids, nowMs);
    for (let i = 0; i < stale.length; i += IDS_PER_TOUCH) {
      const some = stale.slice(i, i + IDS_PER_TOUCH);
      void this.#pump.do(0, () => some.forEach((id) => this.#ledger.touch(id, nowMs, TOUCH_AFTER_MS)));
    }
  }

  /** A worker reads this entry: its chunks stay though it is removed, until as many `unpin` were called. */
  pin(id: string): void {
    this.#pump.debris.pin(id);
  }

  unpin(id: string): void {
    this.#pump.unpin(id);
  }

  /**
   * Every entry that `matches`, in no order, without holding the loop: what a few milliseconds found at a time, be it
   * nothing. What is stored meanwhile may be missing.
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

  /** Whether anything is stored, and until when not. */
  get storing(): DiskStats['storing'] {
    return this.#storing.state;
  }

  /** Entries of `evict: last` leave no room for others. */
  get evictLastFull(): boolean {
    return this.#pump.evictLastFull;
  }

  stats(): DiskStats {
    if (this.#storing.state !== 'stopped-until-restart') this.#counted = this.#count();
    const { used, file, entries } = this.#counted;
    return {
      entries,
      bytes: this.#ledger.bytes,
      usedBytes: used * PAGE_BYTES,
      fileBytes: file * PAGE_BYTES,
      evictions: this.#pump.evictions,
      variantsRemoved: this.#variantsRemoved,
      refused: this.#refused,
      corrupt: this.#ledger.corrupt,
      discarded: this.#discarded,
      fullErrors: this.#storing.stops,
      evictLastFull: this.#pump.evictLastFull,
      storing: this.#storing.state,
    };
  }

  /** Resolves when all that was asked is done, and all is deleted that may be. */
  idle(): Promise<void> {
    return this.#pump.idle();
  }

  /** Finishes what was asked and closes the files; fills under way are lost. */
  async close(): Promise<void> {
    await this.#pump.close();
    // After such a failure LMDB may wait for itself for ever; the process ends soon, and its end does no harm.
    if (this.#storing.state === 'stopped-until-restart') return;
    await this.#commits.sync();
    await this.#options.tables.root.close();
    this.#options.probe.close();
  }

  #count(): PageCounts & { readonly entries: number } {
    return { ...countPages(this.#options.tables), entries: this.#ledger.entries };
  }

  #store(head: EntryHead, maxVariants: number): { removed: Removed[]; surplus: string[] } | null {
    if (!this.#isWhole(head)) return null;
    const variants = this.#ledger.variants(head.key);
    const same = variants.filter((each) => replaces(head.meta, each.head.meta));
    if (same.some((each) => each.head.floor > head.floor)) return null;
    const others = variants.filter((each) => !same.includes(each)).toSorted(byStoringTime);
    const surplus = others.slice(0, Math.max(0, others.length - maxVariants + 1));
    const removed = [...same, ...surplus].flatMap((each) => this.#removeKnown(each.head.id, head.key));
    this.#ledger.insert({ head, storedAtMs: this.#nowMs() });
    return { removed, surplus: surplus.map((each) => each.head.id) };
  }

  #nowMs(): number {
    return Math.min(LAST_MS, Math.trunc(this.#options.now() + this.#behindMs));
  }

  #isWhole(head: EntryHead): boolean {
    const fill = this.#fills.get(head.id);
    if (fill === undefined || fill.broken) return false;
    return fill.bytes === head.sizeBytes && fill.chunks === chunkCount(head.sizeBytes);
  }

  #stale(ids: readonly string[], nowMs: number): string[] {
    if (this.#storing.state === 'stopped-until-restart') return [];
    try {
      return ids.filter((id) => this.#ledger.isWorthTouching(id, nowMs, TOUCH_AFTER_MS));
    } catch (error) {
      this.#storing.giveUp(error instanceof Error ? error.message : String(error));
      return [];
    }
  }

  #removeKnown(id: string, key: string): Removed[] {
    if (this.#ledger.find(id, key) === null) return [];
    const place = this.#ledger.remove(id);
    return place === null ? [] : [{ id, sizeBytes: place.sizeBytes }];
  }

  #break(id: string): void {
    const fill = this.#fills.get(id);
    if (fill === undefined || fill.broken) return;
    fill.broken = true;
    this.#refused += 1;
    // Its chunks go at once and make room for others; the fill itself stays known until it is given up.
    if (fill.chunks > 0) this.#pump.discard([{ id, sizeBytes: fill.bytes }]);
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

/** In order, and behind chunks that are full: a reader knows from the size alone where each byte lies. */
function continues(fill: Fill, index: number): boolean {
  return !fill.broken && fill.chunks === index && fill.bytes === index * CHUNK_BYTES;
}

function byStoringTime(a: StoredHead, b: StoredHead): number {
  return a.storedAtMs - b.storedAtMs;
}

/** Objects, arrays and hashes of a head, and of the message that brought it. */
const HEAD_BYTES = 2_048;

/** What a head takes while it waits. */
function waitingBytesOf({ key, url, tags, tagHashes, meta }: EntryHead): number {
  const strings = [...tags, ...meta.fields, ...meta.responseTags];
  const text = strings.reduce((sum, string) => sum + string.length, key.length + url.length);
  return HEAD_BYTES + tagHashes.byteLength + text;
}

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
import { chunkCount, CHUNK_BYTES, contentKind, idKey, numberKey, numberOf } from './format.ts';
import { createKnownDigests } from './known-digests.ts';
import { DiskIndex, type Removed, type StoredVariant } from './index.ts';
import { headOf, isSound, summaryOf, type RecordSummary } from './record.ts';
import { refusedByWorkers } from './outcomes.ts';
import type { DiskShared } from './shared.ts';
import { StoredDigests } from './stored-digests.ts';
import { createUsedEntries } from './used-entries.ts';
import { WriteQueue } from './write-queue.ts';
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
  /** How long small entries wait for others, to share a transaction. */
  readonly lingerMs: number;
  readonly shared: DiskShared;
  log(event: DiskEvent): void;
  /**
   * Called with variants that were removed because their key has more than its route allows. Absent: no worker has
   * them.
   */
  surplus?(key: string, ids: readonly string[]): void;
}

/** `absent`: no such entry is stored; `refused`: nothing can be written, and the entry is as it was. */
export type ChangeOutcome = 'done' | 'absent' | 'refused';

/** An entry whose chunks are being written, in order; its head is still to come. */
interface PartialEntry {
  bytes: number;
  chunks: number;
  broken: boolean;
}

export class DiskWriter {
  readonly #options: DiskWriterOptions;
  readonly #index: DiskIndex;
  readonly #digests: StoredDigests;
  readonly #committer: Committer;
  readonly #guard: WriteGuard;
  readonly #queue: WriteQueue;
  readonly #partials = new Map<string, PartialEntry>();
  /** As of the last time that LMDB could be read. */
  #counted: PageCounts & { readonly entries: number };
  #refused = 0;
  #discarded = 0;
  #variantsRemoved = 0;

  constructor(options: DiskWriterOptions) {
    this.#options = options;
    const { tables, probe, quota, shared, queueBytes, lingerMs, path, log } = options;
    this.#digests = new StoredDigests(tables.rows, createKnownDigests(shared.known));
    this.#index = new DiskIndex(tables, createUsedEntries(shared.used), this.#digests);
    this.#committer = new Committer(tables.root, probe);
    this.#guard = new WriteGuard(path, quota.batchBytes, log);
    const digests = this.#digests;
    const parts = { index: this.#index, committer: this.#committer, guard: this.#guard, digests };
    this.#queue = new WriteQueue({ ...parts, tables, quota, queueBytes, lingerMs, log });
    this.#counted = this.#count();
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
      { headBytes: index === 0 ? HEAD_BYTES : 0 },
    );
    if (stored !== true) this.#break(id);
    return stored === true;
  }

  /**
   * Stores a whole small entry under its key. It replaces an older entry of the same variant, and the variant that was
   * stored first where there are more than it allows. Refused where an entry with a higher floor is there, or where
   * nothing can be stored. `entry`: as `seal` writes it; it must not change before the promise resolves. The sender has
   * raised the counters of its digest in `shared.known`.
   */
  async store(entry: Uint8Array): Promise<'stored' | 'refused'> {
    if (this.#guard.state === 'stopped') this.#guard.check();
    const summary = summaryOf(entry);
    const isTooLarge = entry.byteLength > this.#options.quota.entryBytes;
    const outcome = isTooLarge
      ? null
      : await this.#queue.do(entry.byteLength, () => this.#insert(bufferOf(entry), summary), {
          isPatient: true,
        });
    if (outcome === null) this.#refuse(summary);
    else this.#stored(outcome);
    return outcome === null ? 'refused' : 'stored';
  }

  /**
   * Makes an entry visible whose content was appended. Refused also where chunks are missing. `record`: as `seal`
   * writes it; otherwise as `store`.
   */
  async commit(record: Uint8Array): Promise<'stored' | 'refused'> {
    const summary = summaryOf(record);
    const { id, sizeBytes } = summary;
    const isBroken = this.#partials.get(id)?.broken === true;
    const outcome = isBroken
      ? null
      : await this.#queue.do(
          0,
          () => (this.#isWhole(id, sizeBytes) ? this.#insert(bufferOf(record), summary) : null),
          { headBytes: record.byteLength, isOwed: true },
        );
    if (outcome === null) {
      this.#digests.refused(summary.digest);
      if (this.#partials.get(id)?.broken !== true) this.#refused += 1;
      this.abort(id);
      return 'refused';
    }
    this.#partials.delete(id);
    this.#stored(outcome);
    return 'stored';
  }

  /** Gives up an incomplete entry and deletes its chunks. An unknown id is ignored. */
  abort(id: string): void {
    const partial = this.#partials.get(id);
    if (partial === undefined) return;
    this.#partials.delete(id);
    if (!partial.broken && partial.chunks > 0) this.#queue.discardChunks([{ id, sizeBytes: partial.bytes }]);
  }

  /**
   * Changes the head of the entry with that id. Its id, key, size and `evictLast` stay, whatever `change` returns. `headBytes` is
   * about the size of the new head's record. Refused also where too much waits.
   */
  async update(
    id: string,
    key: string,
    change: (head: EntryHead) => EntryHead,
    headBytes: number,
  ): Promise<ChangeOutcome> {
    const run = (): boolean => {
      const stored = this.#index.find(id, key);
      if (stored === null) return false;
      const { sizeBytes, evictLast } = stored;
      this.#index.replaceHead({ ...change(stored), id, key, sizeBytes, evictLast });
      return true;
    };
    return outcomeOf(await this.#queue.do(0, run, { headBytes, growthBytes: headBytes }));
  }

  async remove(id: string, key: string): Promise<ChangeOutcome> {
    const removed = await this.#queue.do(0, () => this.#index.remove(id, key));
    this.#discardContent(removed ?? []);
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
  async discard(id: string, key: string): Promise<ChangeOutcome> {
    this.#break(id);
    const outcome = await this.remove(id, key);
    if (outcome === 'done') {
      this.#discarded += 1;
      this.#options.log({ kind: 'entry-damaged', id });
    }
    return outcome;
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
    let from = 0;
    for (;;) {
      const slice = this.#scanSlice(from, matches);
      yield slice.heads;
      if (slice.next === null) return;
      from = slice.next;
      await nextTurn();
    }
  }

  /** For the workers. */
  get shared(): DiskShared {
    return this.#options.shared;
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
      refused: this.#refused + refusedByWorkers(this.#options.shared.outcomes),
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

  #insert(entry: Buffer, summary: RecordSummary): Insertion | null {
    const known = this.#index.hasRow(summary.digest) ? this.#makeWay(entry, summary) : NOTHING_REMOVED;
    if (known !== null) this.#index.insert(entry, summary);
    return known;
  }

  /** Removes what a new entry replaces. Null: an entry of a later floor is there, and nothing is removed. */
  #makeWay(entry: Buffer, summary: RecordSummary): Insertion | null {
    const head = headOf(entry);
    const { variants, damaged } = this.#index.variants(head.key);
    const same = variants.filter((each) => replaces(head.meta, each.head.meta));
    if (same.some((each) => each.head.floor > head.floor)) return null;
    const others = variants.filter((each) => !same.includes(each)).toSorted(byNumber);
    const surplus = others.slice(0, Math.max(0, others.length - summary.maxVariants + 1));
    const removed = [...same, ...surplus].flatMap((each) => this.#index.remove(each.head.id, head.key));
    const ids = surplus.map((each) => each.head.id);
    return { removed: [...damaged, ...removed], key: head.key, surplus: ids };
  }

  #refuse({ digest }: RecordSummary): void {
    this.#refused += 1;
    this.#digests.refused(digest);
  }

  #stored({ removed, key, surplus }: Insertion): void {
    this.#variantsRemoved += surplus.length;
    if (surplus.length > 0) this.#options.surplus?.(key, surplus);
    this.#discardContent(removed);
  }

  /** Content outside of chunks went with the record. */
  #discardContent(removed: readonly Removed[]): void {
    this.#queue.discardChunks(removed.filter(({ sizeBytes }) => contentKind(sizeBytes) === 'chunks'));
  }

  #isWhole(id: string, sizeBytes: number): boolean {
    const partial = this.#partials.get(id);
    if (partial === undefined || partial.broken) return false;
    if (contentKind(sizeBytes) !== 'chunks') return false;
    return partial.bytes === sizeBytes && partial.chunks === chunkCount(sizeBytes);
  }

  #break(id: string): void {
    const partial = this.#partials.get(id);
    if (partial === undefined || partial.broken) return;
    partial.broken = true;
    this.#refused += 1;
    // Deleting its chunks at once makes room for others. The id stays known until the worker gives it up.
    if (partial.chunks > 0) this.#queue.discardChunks([{ id, sizeBytes: partial.bytes }]);
  }

  #scanSlice(
    from: number,
    matches: (head: EntryHead) => boolean,
  ): { heads: EntryHead[]; next: number | null } {
    const heads: EntryHead[] = [];
    const deadline = performance.now() + SLICE_MS;
    for (const { key, value } of this.#options.tables.records.getRange({ start: numberKey(from) })) {
      const head = isSound(value) ? this.#index.current(value) : null;
      if (head !== null && matches(head)) heads.push(head);
      if (performance.now() >= deadline) return { heads, next: numberOf(key) + 1 };
    }
    return { heads, next: null };
  }
}

/** What a new entry has removed. */
interface Insertion {
  readonly removed: readonly Removed[];
  readonly key: string;
  /** The ids of variants beyond the most that their key may have. */
  readonly surplus: readonly string[];
}

const NOTHING_REMOVED: Insertion = { removed: [], key: '', surplus: [] };

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function outcomeOf(isDone: boolean | null): ChangeOutcome {
  return isDone === null ? 'refused' : isDone ? 'done' : 'absent';
}

/** Whether the chunk follows full chunks in order: readers compute the place of each byte from its index. */
function continues(partial: PartialEntry, index: number): boolean {
  return !partial.broken && partial.chunks === index && partial.bytes === index * CHUNK_BYTES;
}

function byNumber(a: StoredVariant, b: StoredVariant): number {
  return a.number - b.number;
}

/** Memory of a head's objects and arrays, and of the message that brought it. */
const HEAD_BYTES = 2_048;

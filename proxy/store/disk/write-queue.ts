/**
 * Runs the writer's operations in order, in one transaction after another of a few milliseconds each. Between them it
 * evicts entries to make room and deletes orphaned chunks. It is long because the three share one state: which room
 * there is, and which is about to be.
 */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { SLICE_MS, type Committer, type CommitFailure } from './committer.ts';
import { OrphanedChunks } from './reclaim.ts';
import { countPages, oldestSnapshotLag, type Tables } from './environment.ts';
import type { DiskEvent } from './events.ts';
import { contentKind } from './format.ts';
import type { DiskIndex, Removed } from './index.ts';
import { pagesOf, type DiskQuota } from './quota.ts';
import type { StoredDigests } from './stored-digests.ts';
import type { WriteGuard } from './write-guard.ts';

export interface WriteQueueParts {
  readonly tables: Tables;
  readonly index: DiskIndex;
  readonly committer: Committer;
  readonly quota: DiskQuota;
  readonly guard: WriteGuard;
  readonly digests: StoredDigests;
  /** The most bytes of new content and heads that may wait; beyond it new ones are refused. */
  readonly queueBytes: number;
  /** How long new entries wait for others, to share a transaction. */
  readonly lingerMs: number;
  log(event: DiskEvent): void;
}

interface Operation {
  /** It may wait for others to share its transaction. */
  readonly isPatient: boolean;
  /** Monotonic. */
  readonly addedAtMs: number;
  /** Content that it adds; an operation with 0 is accepted while storing is stopped, too. */
  readonly bytes: number;
  /** Bytes that the file may need for it. */
  readonly growthBytes: number;
  /** Memory that it takes while it waits; an operation with 0 is accepted however much waits. */
  readonly waitingBytes: number;
  run(): void;
  settle(outcome: 'committed' | 'refused'): void;
  reject(error: unknown): void;
}

interface OperationOptions {
  readonly headBytes?: number;
  readonly isOwed?: boolean;
  readonly growthBytes?: number;
  readonly isPatient?: boolean;
}

/** The chunks of a removed entry stay this long: a reader that has just found its head must be able to pin it. */
const GRACE_MS = 50;
/** The most operations that may wait, of any kind: workers send them without waiting for answers. */
const QUEUE_OPERATIONS = 50_000;
/** Memory that an operation takes besides its content. */
const OPERATION_BYTES = 512;
const BATCH_OPERATIONS = 256;
/** The most entries that one transaction evicts: each changes a page of rows, at most three others, and totals. */
const EVICTIONS = 64;
/** New entries wait this long for a reader that keeps its snapshot open; then they are refused until it closes it. */
const PINNED_MS = 1_000;
const CHUNKS_PER_STEP = 32;

export class WriteQueue {
  readonly orphans = new OrphanedChunks();
  evictions = 0;
  evictLastFull = false;

  readonly #parts: WriteQueueParts;
  readonly #queue: Operation[] = [];
  #queuedBytes = 0;
  /** Operations in the queue that may not wait for others. */
  #urgent = 0;
  /** `idle` and `close` wait for the queue. */
  #isHurried = false;
  #running: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Monotonic time since when an open snapshot has kept freed pages from reuse; null: none does. */
  #pinnedSinceMs: number | null = null;

  constructor(parts: WriteQueueParts) {
    this.#parts = parts;
    for (const id of parts.index.orphans()) this.orphans.add(id, 0, 0);
    this.#wake();
  }

  /**
   * Runs `run` in a transaction and resolves with its result when that is committed. `run` must not throw once it has
   * written. Null: refused for want of room, because too much waits, or because the transaction failed. `bytes`:
   * content that it adds. `headBytes`: memory of the head of a new entry. `isOwed`: earlier operations of the entry
   * were accepted, so this one is accepted however much waits. `growthBytes`: that the file may need; the operation waits
   * for room, and is refused where none can be had. `isPatient`: it may wait for others to share its transaction, which
   * costs as much as some twenty entries.
   */
  do<T>(
    bytes: number,
    run: () => T,
    { headBytes = 0, isOwed = false, growthBytes = bytes, isPatient = false }: OperationOptions = {},
  ): Promise<T | null> {
    const isNew = bytes > 0 || headBytes > 0;
    const waitingBytes = isNew ? bytes + headBytes + OPERATION_BYTES : 0;
    if (!this.#takes(bytes, isOwed ? 0 : waitingBytes)) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      let value: T | null = null;
      const operation: Operation = {
        isPatient,
        addedAtMs: performance.now(),
        bytes,
        growthBytes,
        waitingBytes,
        run: () => {
          value = run();
        },
        settle: (outcome) => resolve(outcome === 'committed' ? value : null),
        reject,
      };
      this.#queue.push(operation);
      this.#count(operation, 1);
      if (this.#isDue) this.#wake();
      else if (this.#queue.length === 1) this.#sleep();
    });
  }

  /** Deletes the chunks of removed entries when nobody reads them. */
  discardChunks(removed: readonly Removed[]): void {
    if (removed.length === 0) return;
    const readyAtMs = performance.now() + GRACE_MS;
    for (const { id, sizeBytes } of removed) this.orphans.add(id, sizeBytes, readyAtMs);
    this.#wake();
  }

  unpin(id: string): void {
    if (this.orphans.unpin(id)) this.#wake();
  }

  /** Resolves when every operation is done and every orphaned chunk that nobody reads is deleted. */
  async idle(): Promise<void> {
    for (;;) {
      this.#hurry();
      while (this.#running !== null) await this.#running;
      const waitMs = this.#untilSweepMs();
      if (waitMs === null) return;
      await delay(waitMs + 1);
      this.#wake();
    }
  }

  /** Finishes the operations that wait, and refuses new ones. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#hurry();
    while (this.#running !== null) await this.#running;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #hurry(): void {
    this.#isHurried = this.#queue.length > 0;
    if (this.#isHurried) this.#wake();
  }

  /** Whether the operations that wait are to run now. */
  get #isDue(): boolean {
    if (this.#queue.length === 0) return false;
    if (this.#isHurried || this.#urgent > 0 || this.#queue.length >= BATCH_OPERATIONS) return true;
    return this.#queuedBytes >= this.#parts.quota.batchBytes || this.#lingerLeftMs <= 0;
  }

  /** How long the operations that wait may do so yet. */
  get #lingerLeftMs(): number {
    return this.#queue[0]!.addedAtMs + this.#parts.lingerMs - performance.now();
  }

  #count({ waitingBytes, isPatient }: Operation, change: 1 | -1): void {
    this.#queuedBytes += waitingBytes * change;
    if (!isPatient) this.#urgent += change;
  }

  #takes(bytes: number, waitingBytes: number): boolean {
    if (this.#closed || this.#isGivenUp) return false;
    if (this.#queue.length >= QUEUE_OPERATIONS) return false;
    if (waitingBytes > 0 && this.#queuedBytes + waitingBytes > this.#parts.queueBytes) return false;
    return bytes === 0 || this.#parts.guard.state === 'on';
  }

  #wake(): void {
    if (this.#running !== null || this.#isGivenUp) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#running = this.#run()
      .catch((error: unknown) => this.#giveUp(error))
      .finally(() => {
        this.#running = null;
        this.#sleep();
      });
  }

  /** LMDB can't read its own file, or Weir has a bug. Stored entries may still be served; nothing more is written. */
  #giveUp(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#parts.guard.giveUp(reason);
  }

  #sleep(): void {
    if (this.#isGivenUp) {
      while (this.#queue.length > 0) this.#take().settle('refused');
      return;
    }
    if (this.#isDue) return this.#wake();
    if (this.#running !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const lingerMs = this.#queue.length === 0 ? Infinity : Math.ceil(this.#lingerLeftMs);
    const sweepMs = this.#closed ? null : this.#untilSweepMs();
    const waitMs = Math.min(lingerMs, sweepMs === null ? Infinity : sweepMs + 1);
    if (waitMs === Infinity) return;
    this.#timer = setTimeout(() => this.#wake(), waitMs);
    if (lingerMs === Infinity) this.#timer.unref();
  }

  #untilSweepMs(): number | null {
    return this.#parts.guard.state === 'on' ? this.orphans.untilDueMs(performance.now()) : null;
  }

  async #run(): Promise<void> {
    // Operations of one turn of the loop share a transaction.
    await nextTurn();
    this.#observe();
    for (;;) {
      const evicted = await this.#evict();
      const done = this.#isGivenUp ? false : await this.#commitBatch();
      const swept = this.#closed ? false : await this.#sweep();
      const counted = this.#closed ? false : await this.#countDigests();
      if (!evicted && !done && !swept && !counted) return;
    }
  }

  #observe(): void {
    const { quota, tables } = this.#parts;
    quota.observe(countPages(tables), () => oldestSnapshotLag(tables));
    if (!quota.isPinned) this.#pinnedSinceMs = null;
    else this.#pinnedSinceMs ??= performance.now();
    if (!this.evictLastFull || !this.#parts.quota.isAmple(this.orphans.pages)) return;
    this.evictLastFull = false;
    this.#parts.log({ kind: 'evict-last-room' });
  }

  /** Takes operations for one transaction from the queue. None though some wait: room is being made for them. */
  #takeBatch(): Operation[] {
    const batch: Operation[] = [];
    let bytes = 0;
    while (this.#queue.length > 0 && batch.length < BATCH_OPERATIONS) {
      const next = this.#queue[0]!;
      const { growthBytes } = next;
      if (bytes > 0 && bytes + growthBytes > this.#parts.quota.batchBytes) break;
      if (growthBytes > 0 && !this.#parts.quota.admits(bytes + growthBytes, this.orphans.pages)) {
        if (batch.length > 0 || (!this.#closed && this.#mayGetRoom())) break;
        this.#take().settle('refused');
        this.#noteNoRoom();
        continue;
      }
      bytes += growthBytes;
      batch.push(this.#take());
    }
    return batch;
  }

  #take(): Operation {
    const operation = this.#queue.shift()!;
    this.#count(operation, -1);
    if (this.#queue.length === 0) this.#isHurried = false;
    return operation;
  }

  /** Whether waiting helps: entries can be evicted, or chunks are about to be deleted or were deleted just now. */
  #mayGetRoom(): boolean {
    if (this.#pinnedSinceMs !== null) return performance.now() - this.#pinnedSinceMs < PINNED_MS;
    if (this.#parts.quota.isSettling || this.orphans.untilDueMs(performance.now()) !== null) return true;
    return this.#parts.quota.excessPages(this.orphans.pages) > 0 && this.#parts.index.rank() === 'normal';
  }

  /** True: operations ran, were refused, or wait for room. */
  async #commitBatch(): Promise<boolean> {
    if (!this.#isDue) return false;
    if (this.#queue[0]!.bytes > 0 && !this.#parts.guard.check()) {
      this.#take().settle('refused');
      return true;
    }
    const batch = this.#takeBatch();
    if (batch.length > 0) await this.#commitOperations(batch);
    else if (this.#queue.length > 0) await this.#waitForRoom();
    return true;
  }

  async #waitForRoom(): Promise<void> {
    if (this.#pinnedSinceMs !== null) {
      await delay(1);
      return this.#observe();
    }
    const waitMs = this.orphans.untilDueMs(performance.now()) ?? 0;
    if (waitMs > 0) await delay(waitMs);
    else if (this.#parts.quota.isSettling) this.#note(await this.#transact(() => this.#parts.index.tick()));
  }

  /** Runs a transaction and counts the pages again. */
  async #transact(work: () => void): Promise<CommitFailure | null> {
    const failure = await this.#parts.committer.commit(() => {
      work();
      this.#parts.index.saveTotals();
    });
    if (failure === null) {
      this.#parts.index.committed();
      this.#observe();
    }
    return failure;
  }

  async #commitOperations(batch: readonly Operation[]): Promise<void> {
    let ran = 0;
    try {
      const failure = await this.#transact(() => {
        const deadline = performance.now() + SLICE_MS;
        while (ran < batch.length && (ran === 0 || performance.now() < deadline)) batch[ran++]!.run();
      });
      this.#note(failure);
      for (const each of batch.slice(0, ran)) each.settle(failure === null ? 'committed' : 'refused');
    } catch (error) {
      this.#parts.index.reload();
      for (const each of batch.slice(0, ran)) each.reject(error);
    }
    this.#putBack(batch.slice(ran));
  }

  #putBack(operations: readonly Operation[]): void {
    this.#queue.unshift(...operations);
    for (const operation of operations) this.#count(operation, 1);
    // They have waited already.
    this.#isHurried ||= operations.length > 0;
  }

  /** Evicts some of the entries that exceed the quota. True: it removed or passed over at least one. */
  async #evict(): Promise<boolean> {
    if (this.#parts.guard.state !== 'on' || this.#pinnedSinceMs !== null) return false;
    let excess = this.#parts.quota.excessPages(this.orphans.pages);
    if (excess <= 0) return false;
    const removed: Removed[] = [];
    let steps = 0;
    const failure = await this.#transact(() => {
      const deadline = performance.now() + SLICE_MS;
      while (excess > 0 && removed.length < EVICTIONS && performance.now() < deadline) {
        const step = this.#parts.index.evict();
        if (step === 'none') return;
        steps += 1;
        if (step === 'kept') continue;
        removed.push(step);
        excess -= pagesOf(step.sizeBytes);
      }
    });
    this.#note(failure);
    if (failure !== null) return false;
    this.evictions += removed.length;
    this.discardChunks(removed.filter(({ sizeBytes }) => contentKind(sizeBytes) === 'chunks'));
    return steps > 0;
  }

  /** Deletes some orphaned chunks that nobody reads. True: there were some. */
  async #sweep(): Promise<boolean> {
    if (this.#isGivenUp || this.#pinnedSinceMs !== null) return false;
    const swept: string[] = [];
    if (this.orphans.due(performance.now()) === null) return false;
    const failure = await this.#transact(() => {
      const deadline = performance.now() + SLICE_MS;
      let id = this.orphans.due(performance.now());
      while (id !== null && performance.now() < deadline) {
        if (!this.#parts.index.sweep(id, CHUNKS_PER_STEP)) continue;
        this.orphans.delete(id);
        swept.push(id);
        id = this.orphans.due(performance.now());
      }
    });
    this.#note(failure);
    if (failure !== null) for (const id of swept) this.orphans.add(id, 0, performance.now());
    return failure === null;
  }

  /** Counts some of the digests that the start found. True: there were some left. */
  async #countDigests(): Promise<boolean> {
    if (this.#isGivenUp || this.#parts.digests.isOver) return false;
    this.#parts.digests.countUntil(performance.now() + SLICE_MS);
    await nextTurn();
    return true;
  }

  #note(failure: CommitFailure | null): void {
    if (failure === null) return;
    this.#parts.guard.failed(failure);
    if (!this.#isGivenUp) this.#parts.index.reload();
  }

  /** LMDB is not called any more. */
  get #isGivenUp(): boolean {
    return this.#parts.guard.state === 'stopped-until-restart';
  }

  #noteNoRoom(): void {
    if (this.evictLastFull || this.#parts.index.rank() !== 'last') return;
    this.evictLastFull = true;
    this.#parts.log({ kind: 'evict-last-full' });
  }
}

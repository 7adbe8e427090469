/**
 * Does what the writer is asked, in order, in one transaction after another of a few milliseconds each; between them it
 * makes room for what comes and deletes the chunks that nobody needs.
 */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { SLICE_MS, type Committer, type CommitFailure } from './committer.ts';
import { OrphanedChunks } from './reclaim.ts';
import { countPages, oldestSnapshotLag, type Tables } from './environment.ts';
import type { DiskEvent } from './events.ts';
import type { DiskIndex } from './index.ts';
import { pagesOf, type DiskQuota } from './quota.ts';
import type { WriteGuard } from './write-guard.ts';

export interface WriteQueueParts {
  readonly tables: Tables;
  readonly ledger: DiskIndex;
  readonly commits: Committer;
  readonly room: DiskQuota;
  readonly storing: WriteGuard;
  /** Of what is new and waits, content and heads; beyond it no more of that is taken. */
  readonly queueBytes: number;
  log(event: DiskEvent): void;
}

export interface Removed {
  readonly id: string;
  readonly sizeBytes: number;
}

interface Operation {
  /** Content that it adds; 0: it is done even where there is no room. */
  readonly bytes: number;
  /** What it takes in memory while it waits; 0: it is done however much waits. */
  readonly waitingBytes: number;
  run(): void;
  settle(outcome: 'committed' | 'refused'): void;
  reject(error: unknown): void;
}

/** A removed entry's chunks stay this long at least: a reader that has just found its head must be able to pin it. */
const GRACE_MS = 50;
/** Beyond these nothing at all is taken: whoever sends does not wait for its answers. */
const QUEUE_OPERATIONS = 50_000;
/** Of an operation beside its bytes. */
const OPERATION_BYTES = 512;
const BATCH_OPERATIONS = 256;
/** Entries that one transaction evicts at most: each changes a page in four tables. */
const EVICTIONS = 64;
/** What is new waits this long in all for a reader that keeps its snapshot open, then is refused until it closes it. */
const PINNED_MS = 1_000;
const CHUNKS_PER_STEP = 32;

export class WriteQueue {
  readonly debris = new OrphanedChunks();
  evictions = 0;
  evictLastFull = false;

  readonly #parts: WriteQueueParts;
  readonly #queue: Operation[] = [];
  #queuedBytes = 0;
  #running: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Monotonic time since when a snapshot keeps freed pages from use; null: none does. */
  #pinnedSinceMs: number | null = null;

  constructor(parts: WriteQueueParts) {
    this.#parts = parts;
    for (const id of parts.ledger.debris()) this.debris.add(id, 0, 0);
    this.#wake();
  }

  /**
   * Runs `run` in a transaction, which must not throw once it has written, and resolves with what it gave when that is
   * committed. Null: refused, for want of room, because too much waits, or because the transaction was given up. `bytes`:
   * content that it adds. `headBytes`: of the head of a new entry. `isOwed`: what came before it was taken, and is in vain
   * without it.
   */
  do<T>(bytes: number, run: () => T, headBytes = 0, isOwed = false): Promise<T | null> {
    const isNew = bytes > 0 || headBytes > 0;
    const waitingBytes = isNew ? bytes + headBytes + OPERATION_BYTES : 0;
    if (!this.#takes(bytes, isOwed ? 0 : waitingBytes)) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      let value: T | null = null;
      const operation: Operation = {
        bytes,
        waitingBytes,
        run: () => {
          value = run();
        },
        settle: (outcome) => resolve(outcome === 'committed' ? value : null),
        reject,
      };
      this.#queuedBytes += waitingBytes;
      this.#queue.push(operation);
      this.#wake();
    });
  }

  /** These have no head any more; their chunks are deleted when nobody reads them. */
  discard(removed: readonly Removed[]): void {
    if (removed.length === 0) return;
    const readyAtMs = performance.now() + GRACE_MS;
    for (const { id, sizeBytes } of removed) this.debris.add(id, sizeBytes, readyAtMs);
    this.#wake();
  }

  unpin(id: string): void {
    if (this.debris.unpin(id)) this.#wake();
  }

  /** Resolves when all that was asked is done, and all is deleted that may be. */
  async idle(): Promise<void> {
    for (;;) {
      while (this.#running !== null) await this.#running;
      const waitMs = this.#untilSweepMs();
      if (waitMs === null) return;
      await delay(waitMs + 1);
      this.#wake();
    }
  }

  /** Finishes what was asked; takes nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    while (this.#running !== null) await this.#running;
  }

  #takes(bytes: number, waitingBytes: number): boolean {
    if (this.#closed || this.#isGivenUp) return false;
    if (this.#queue.length >= QUEUE_OPERATIONS) return false;
    if (waitingBytes > 0 && this.#queuedBytes + waitingBytes > this.#parts.queueBytes) return false;
    return bytes === 0 || this.#parts.storing.state === 'on';
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

  /** LMDB can't read its own file, or we have a bug: what is there may still be served, but nothing more is tried. */
  #giveUp(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#parts.storing.giveUp(reason);
  }

  #sleep(): void {
    if (this.#isGivenUp) {
      while (this.#queue.length > 0) this.#take().settle('refused');
      return;
    }
    if (this.#queue.length > 0) return this.#wake();
    const waitMs = this.#closed ? null : this.#untilSweepMs();
    if (waitMs !== null) this.#timer = setTimeout(() => this.#wake(), waitMs + 1).unref();
  }

  #untilSweepMs(): number | null {
    return this.#parts.storing.state === 'on' ? this.debris.untilDueMs(performance.now()) : null;
  }

  async #run(): Promise<void> {
    // What is asked within one turn goes into one transaction.
    await nextTurn();
    this.#observe();
    for (;;) {
      const evicted = await this.#evict();
      const done = this.#isGivenUp ? false : await this.#commitBatch();
      const swept = this.#closed ? false : await this.#sweep();
      if (!evicted && !done && !swept) return;
    }
  }

  #observe(): void {
    const { room, tables } = this.#parts;
    room.observe(countPages(tables), () => oldestSnapshotLag(tables));
    if (!room.isPinned) this.#pinnedSinceMs = null;
    else this.#pinnedSinceMs ??= performance.now();
    if (!this.evictLastFull || !this.#parts.room.isAmple(this.debris.pages)) return;
    this.evictLastFull = false;
    this.#parts.log({ kind: 'evict-last-room' });
  }

  /** Takes from the queue what one transaction may hold. Empty though something waits: its room is being made. */
  #takeBatch(): Operation[] {
    const batch: Operation[] = [];
    let bytes = 0;
    while (this.#queue.length > 0 && batch.length < BATCH_OPERATIONS) {
      const next = this.#queue[0]!;
      if (bytes > 0 && bytes + next.bytes > this.#parts.room.batchBytes) break;
      if (next.bytes > 0 && !this.#parts.room.admits(bytes + next.bytes, this.debris.pages)) {
        if (batch.length > 0 || (!this.#closed && this.#mayGetRoom())) break;
        this.#take().settle('refused');
        this.#noteRefusal();
        continue;
      }
      bytes += next.bytes;
      batch.push(this.#take());
    }
    return batch;
  }

  #take(): Operation {
    const operation = this.#queue.shift()!;
    this.#queuedBytes -= operation.waitingBytes;
    return operation;
  }

  /** Whether waiting helps: something can be evicted, is about to be deleted, or was just now. */
  #mayGetRoom(): boolean {
    if (this.#pinnedSinceMs !== null) return performance.now() - this.#pinnedSinceMs < PINNED_MS;
    if (this.#parts.room.isSettling || this.debris.untilDueMs(performance.now()) !== null) return true;
    return this.#parts.room.excessPages(this.debris.pages) > 0 && this.#parts.ledger.rank() === 'normal';
  }

  /** True: something was done, or has to be waited for. */
  async #commitBatch(): Promise<boolean> {
    if (this.#queue.length === 0) return false;
    if (this.#queue[0]!.bytes > 0 && !this.#parts.storing.check()) {
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
    const waitMs = this.debris.untilDueMs(performance.now()) ?? 0;
    if (waitMs > 0) await delay(waitMs);
    else if (this.#parts.room.isSettling) this.#note(await this.#transact(() => this.#parts.ledger.tick()));
  }

  /** A transaction, and a look at what it did to the file. */
  async #transact(work: () => void): Promise<CommitFailure | null> {
    const failure = await this.#parts.commits.commit(work);
    if (failure === null) this.#observe();
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
      this.#parts.ledger.reload();
      for (const each of batch.slice(0, ran)) each.reject(error);
    }
    this.#putBack(batch.slice(ran));
  }

  #putBack(operations: readonly Operation[]): void {
    this.#queue.unshift(...operations);
    for (const { waitingBytes } of operations) this.#queuedBytes += waitingBytes;
  }

  /** One step towards the room that the next transactions need. True: something was evicted. */
  async #evict(): Promise<boolean> {
    if (this.#parts.storing.state !== 'on' || this.#pinnedSinceMs !== null) return false;
    let excess = this.#parts.room.excessPages(this.debris.pages);
    if (excess <= 0) return false;
    let removed: Removed[] = [];
    const failure = await this.#transact(() => {
      const deadline = performance.now() + SLICE_MS;
      while (excess > 0 && removed.length < EVICTIONS && performance.now() < deadline) {
        const victim = this.#parts.ledger.evict();
        if (victim === null) return;
        removed.push(victim);
        excess -= pagesOf(victim.sizeBytes);
      }
    });
    this.#note(failure);
    if (failure !== null) removed = [];
    this.evictions += removed.length;
    this.discard(removed);
    return removed.length > 0;
  }

  /** Deletes some chunks that nobody reads. True: there were some. */
  async #sweep(): Promise<boolean> {
    if (this.#isGivenUp || this.#pinnedSinceMs !== null) return false;
    const swept: string[] = [];
    if (this.debris.due(performance.now()) === null) return false;
    const failure = await this.#transact(() => {
      const deadline = performance.now() + SLICE_MS;
      let id = this.debris.due(performance.now());
      while (id !== null && performance.now() < deadline) {
        if (!this.#parts.ledger.sweep(id, CHUNKS_PER_STEP)) continue;
        this.debris.delete(id);
        swept.push(id);
        id = this.debris.due(performance.now());
      }
    });
    this.#note(failure);
    if (failure !== null) for (const id of swept) this.debris.add(id, 0, performance.now());
    return failure === null;
  }

  #note(failure: CommitFailure | null): void {
    if (failure === null) return;
    this.#parts.storing.failed(failure);
    if (!this.#isGivenUp) this.#parts.ledger.reload();
  }

  /** LMDB is not asked any more. */
  get #isGivenUp(): boolean {
    return this.#parts.storing.state === 'stopped-until-restart';
  }

  #noteRefusal(): void {
    if (this.evictLastFull || this.#parts.ledger.rank() !== 'last') return;
    this.evictLastFull = true;
    this.#parts.log({ kind: 'evict-last-full' });
  }
}

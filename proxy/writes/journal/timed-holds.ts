import type { Fence } from '../../fence/fence.ts';
import type { Log } from '../../observability/logger.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';
import {
  OTHER_HOLDS,
  otherHoldKey,
  readHoldRow,
  writeHoldRow,
  type QueueHold,
  type TimedHold,
} from './hold-rows.ts';
import { numberKey } from './tables.ts';
import type { OrderQueueId } from './order-queues.ts';
import type { OrderQueues } from './order-queues.ts';
import type { DurableClock } from './durable-clock.ts';

export interface TimedHoldsDependencies {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly durableClock: DurableClock;
  readonly log: Log;
  /** The slots of clients: a client's hold takes one while it lasts. */
  readonly slots: { add(client: string): void; give(client: string): void };
  readonly queues: () => OrderQueues;
}

interface Held {
  readonly row: QueueHold & TimedHold;
  timer: NodeJS.Timeout;
}

/** The pause before the end of a hold is retried after a failed write of the state. */
const AGAIN_MS = 1_000;

/**
 * Holds that outlast their writes: while the origin may still process the write, or may still return the state before
 * it. When its time is over, a hold ends and its tags are invalidated.
 */
export class TimedHolds {
  readonly #deps: TimedHoldsDependencies;
  readonly #table: StateTable;
  readonly #bodies: StateTable;
  readonly #held = new Map<number, Held>();
  /** By queue: the id of the hold during which `pending` readers get a delivered write. */
  readonly #shown = new Map<OrderQueueId, number>();
  /** The ids of holds in `#shown` whose write is no longer shown. */
  readonly #hidden = new Set<number>();
  /** By queue: the number of the delivered write whose hold is being committed. */
  readonly #coming = new Map<OrderQueueId, number>();
  #next: number;
  #isClosed = false;

  constructor(deps: TimedHoldsDependencies) {
    this.#deps = deps;
    this.#table = deps.state.table('holds');
    this.#bodies = deps.state.table('write-bodies');
    this.#next = deps.state.boot * 2 ** 32;
  }

  get size(): number {
    return this.#held.size;
  }

  /** A hold's id, unique over all runs. */
  newId(): number {
    this.#next += 1;
    return this.#next;
  }

  /** The number of the delivered write that `pending` readers of the queue still get; null: none. */
  shownOf(queue: OrderQueueId): number | null {
    const coming = this.#coming.get(queue);
    if (coming !== undefined) return coming;
    const id = this.#shown.get(queue);
    return id === undefined || this.#hidden.has(id) ? null : (this.#held.get(id)?.row.shown ?? null);
  }

  /** Restores the holds of earlier runs. A write that was under way then has an unknown outcome. */
  async restore(): Promise<void> {
    const { state, fence, durableClock, slots } = this.#deps;
    const changes: (() => void)[] = [];
    for (const { key, value } of this.#table.range(OTHER_HOLDS)) {
      const found = readHoldRow(value);
      const id = Number(key.readBigUInt64BE(1));
      fence.restoreHold(found.tags);
      if (found.client !== undefined) slots.add(found.client);
      if (found.kind === 'timed') this.#keep(id, found);
      else if (found.kind === 'running') {
        const maxMs = found.maxProcessingMs;
        const untilMs = durableClock.nowMs() + maxMs;
        const { maxProcessingMs: _, ...ofQueue } = found;
        const row = { ...ofQueue, kind: 'timed', untilMs, maxMs, blocks: true, shown: 0 } as const;
        changes.push(() => writeHoldRow(this.#table, key, row));
        this.#keep(id, row);
      }
    }
    if (changes.length > 0) await state.write(() => changes.forEach((change) => change()));
  }

  /** Within a change of the state: writes the hold. The caller calls `keep` when the change is durable. */
  write(id: number, row: QueueHold & TimedHold): void {
    writeHoldRow(this.#table, otherHoldKey(id), row);
  }

  /** Puts a durable hold in force from now until its end. */
  keep(id: number, row: QueueHold & TimedHold): void {
    this.#keep(id, row);
  }

  /** In force until the returned function is called. Covers the time between the visible commit and `keep`. */
  announce({ queue, blocks, shown }: QueueHold & TimedHold): () => void {
    const unblock = blocks ? this.block(queue) : () => {};
    if (shown > 0) this.#coming.set(queue, shown);
    return () => {
      if (shown > 0) this.#coming.delete(queue);
      unblock();
    };
  }

  /** Blocks the queue until the returned function is called. */
  block(queue: OrderQueueId): () => void {
    this.#deps.queues().unsettled(queue);
    return () => this.#deps.queues().settled(queue);
  }

  /** Hides the shown write after a later one of the queue was carried out, whose transaction calls `writeHidden`. */
  stopShowing(queue: OrderQueueId): void {
    const id = this.#shown.get(queue);
    if (id !== undefined) this.#hidden.add(id);
  }

  /** Within a change of the state: makes durable that the queue's delivered write is no longer shown. */
  writeHidden(queue: OrderQueueId): void {
    const id = this.#shown.get(queue);
    const held = id === undefined ? undefined : this.#held.get(id);
    if (id === undefined || held === undefined) return;
    this.write(id, { ...held.row, shown: 0 });
    this.#bodies.remove(numberKey(held.row.shown));
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#held.values()) clearTimeout(timer);
  }

  #keep(id: number, row: QueueHold & TimedHold): void {
    // A wall clock that was set back before a restart must not make the hold longer.
    const lastsMs = Math.min(row.maxMs, Math.max(0, row.untilMs - this.#deps.durableClock.nowMs()));
    if (row.blocks) this.#deps.queues().unsettled(row.queue);
    if (row.shown > 0) this.#shown.set(row.queue, id);
    this.#held.set(id, { row, timer: setTimeout(() => this.#end(id), lastsMs) });
  }

  #end(id: number): void {
    const held = this.#held.get(id);
    if (held === undefined || this.#isClosed) return;
    const { row } = held;
    const { fence, log, queues, slots } = this.#deps;
    const forget = (): void => {
      this.#table.remove(otherHoldKey(id));
      if (row.shown > 0) this.#bodies.remove(numberKey(row.shown));
    };
    fence.release(row.tags, [], forget).then(
      () => {
        this.#held.delete(id);
        this.#hidden.delete(id);
        if (this.#shown.get(row.queue) === id) this.#shown.delete(row.queue);
        if (row.client !== undefined) slots.give(row.client);
        if (row.blocks) queues().settled(row.queue);
      },
      (error: unknown) => {
        log.error(
          { event: 'hold-not-released', err: error },
          'the end of a hold can not be written: the hold continues',
        );
        held.timer = setTimeout(() => this.#end(id), AGAIN_MS);
      },
    );
  }
}

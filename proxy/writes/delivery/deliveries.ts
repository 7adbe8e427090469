import type { Config } from '../../../policies/config/config.ts';
import type { Origin } from '../../../origin-adapters/origin.ts';
import type { Clock } from '../../threads/clock.ts';
import type { Log } from '../../observability/logger.ts';
import { Attempts, type DeliveryCounters } from './attempts.ts';
import type { Journal } from '../journal/journal.ts';
import type { OrderQueueId, OrderQueues } from '../journal/order-queues.ts';
import { RemovedOrigins } from './removed-origins.ts';
import { originPrefix, type OriginResponse } from '../journal/record.ts';
import type { DurableClock } from '../journal/durable-clock.ts';
import type { DueRow } from '../journal/tables.ts';

export interface DeliveriesDependencies {
  readonly journal: Journal;
  readonly queues: OrderQueues;
  readonly clock: Clock;
  readonly durableClock: DurableClock;
  readonly log: Log;
  /** A random number from 0 (included) to 1 (excluded), for the jitter of retries. */
  random(): number;
  /** Called when a write has left its queue, or has become dead and stops it. */
  moved(queue: OrderQueueId): void;
  /** Called after a write's last attempt. `response` is null: the origin gave none, or one that can't be kept. */
  ended(number: number, response: OriginResponse | null): void;
}

/** An origin to which writes are delivered. */
export interface DeliveryOrigin {
  readonly origin: Origin;
  /** The maximum of concurrent deliveries, at most the number of connections. */
  readonly atOnce: number;
  /** Until when the breaker is open, in monotonic milliseconds; 0: it is closed. */
  openUntilMs(): number;
}

/** The maximum of due writes that one turn of the event loop skips because they wait for their turn in the queue. */
const SKIPPED_AT_ONCE = 500;
/** The pause of an origin's deliveries after a failed write of the state. */
const PAUSE_MS = 1_000;
const LONGEST_TIMER_MS = 60_000;

/** One origin's deliveries. Up to `window` run in parallel; it restarts at 1 after the origin was down. */
interface Lane {
  readonly name: string;
  readonly target: DeliveryOrigin;
  readonly busy: Set<number>;
  window: number;
  timer: NodeJS.Timeout | null;
  isScheduled: boolean;
  /** The due write at which the search stopped; null: it begins with the first. */
  at: DueRow | null;
  /** A write may have become due before `at` since the search began. */
  again: boolean;
  pausedUntilMs: number;
}

/** Delivers the journal's writes: in order for each URL, in parallel for different URLs. */
export class Deliveries {
  readonly #deps: DeliveriesDependencies;
  readonly #lanes = new Map<string, Lane>();
  /** The writes that are being sent or changed, by origin. Includes origins that are no longer configured. */
  readonly #busy = new Map<string, Set<number>>();
  /** The due write of each queue that waits for its turn. */
  readonly #parked = new Map<OrderQueueId, { readonly number: number; readonly lane: string }>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #attempts: Attempts;
  readonly #removedOrigins: RemovedOrigins;
  #isClosed = false;

  constructor(deps: DeliveriesDependencies) {
    this.#deps = deps;
    this.#attempts = new Attempts({ ...deps, isOver: () => this.#isClosed });
    this.#removedOrigins = new RemovedOrigins({
      journal: deps.journal,
      clock: deps.clock,
      isOver: () => this.#isClosed,
      knows: (origin) => this.knows(origin),
      knowsPrefix: (prefix) => [...this.#lanes.keys()].some((name) => originPrefix(name).equals(prefix)),
      unlessBusy: (record, number, change) => this.#unlessBusy(record.origin, number, change),
      giveUp: (number, record) => this.#attempts.giveUp(number, record, 'skip'),
      quarantine: (row) => this.#attempts.quarantine(row),
      free: async (number, record) => {
        await this.#attempts.leaveDead(number, record);
        deps.moved(record.queue);
      },
    });
  }

  get counters(): DeliveryCounters {
    return this.#attempts.counters;
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Applies a configuration. Writes to origins that it does not contain become dead. */
  configure(config: Config, targets: ReadonlyMap<string, DeliveryOrigin>): void {
    this.#attempts.configure(config);
    const before = new Map(this.#lanes);
    this.#lanes.clear();
    for (const [name, target] of targets) {
      const old = before.get(name);
      if (old?.timer) clearTimeout(old.timer);
      this.#lanes.set(name, {
        name,
        target,
        busy: this.#busyOf(name),
        window: target.atOnce,
        timer: null,
        isScheduled: false,
        at: null,
        again: false,
        pausedUntilMs: 0,
      });
    }
    for (const [name, lane] of before) {
      if (!this.#lanes.has(name) && lane.timer) clearTimeout(lane.timer);
    }
    this.wakeAll();
  }

  /** Whether the origin is configured. */
  knows(origin: string): boolean {
    return this.#lanes.has(origin);
  }

  /** A write to the origin was accepted. A worker with an older configuration may accept it for a removed origin. */
  accepted(origin: string): void {
    if (this.knows(origin)) this.wake(origin);
    else if (this.#lanes.size > 0) this.#giveUpRemoved();
  }

  /** Looks for due writes of the origin. */
  wake(origin: string): void {
    const lane = this.#lanes.get(origin);
    if (lane === undefined) return;
    lane.again = true;
    this.#schedule(lane);
  }

  /** Looks for due writes of every origin, and gives up those of removed origins. */
  wakeAll(): void {
    for (const name of this.#lanes.keys()) this.wake(name);
    this.#giveUpRemoved();
  }

  /** Counts and logs an unreadable write that was given up. */
  quarantined(number: number): void {
    this.#attempts.quarantined(number);
  }

  /** A parked write of the queue may have its turn now. */
  freed(queue: OrderQueueId): void {
    const parked = this.#parked.get(queue);
    if (parked === undefined) return;
    this.#parked.delete(queue);
    this.wake(parked.lane);
  }

  /** Prevents a write from being sent until the returned function is called; null: it is being sent or is reserved. */
  reserve(origin: string, number: number): (() => void) | null {
    const busy = this.#busyOf(origin);
    if (busy.has(number)) return null;
    busy.add(number);
    return () => {
      busy.delete(number);
      this.wake(origin);
    };
  }

  /** Starts no further delivery. Resolves when the outcome of each delivery under way is durable. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { timer } of this.#lanes.values()) if (timer !== null) clearTimeout(timer);
    await Promise.all(this.#underWay);
  }

  #schedule(lane: Lane): void {
    if (lane.isScheduled || this.#isClosed) return;
    lane.isScheduled = true;
    setImmediate(() => {
      lane.isScheduled = false;
      this.#deliverDue(lane);
    });
  }

  #deliverDue(lane: Lane): void {
    if (this.#isClosed || this.#lanes.get(lane.name) !== lane) return;
    const { clock } = this.#deps;
    const monotonicMs = clock.monotonicMs();
    const heldBackUntilMs = Math.max(lane.target.openUntilMs(), lane.pausedUntilMs);
    if (heldBackUntilMs > monotonicMs) {
      // An origin that recovers gets one write at a time, and one more in parallel after each answer.
      lane.window = 1;
      lane.at = null;
      this.#wakeIn(lane, heldBackUntilMs - monotonicMs);
      return;
    }
    if (lane.at === null) lane.again = false;
    if (!this.#startDue(lane)) return;
    lane.at = null;
    if (lane.again) this.#schedule(lane);
  }

  /** Returns true when every due write was examined. Otherwise the search continues after `lane.at`. */
  #startDue(lane: Lane): boolean {
    const { journal, queues, durableClock } = this.#deps;
    const nowMs = durableClock.nowMs();
    let skipped = 0;
    for (const row of journal.tables.dues(lane.name, lane.at)) {
      if (lane.busy.size >= lane.window) return false;
      if (row.dueAtMs > nowMs) {
        this.#wakeIn(lane, row.dueAtMs - nowMs);
        return true;
      }
      if (skipped === SKIPPED_AT_ONCE) {
        this.#schedule(lane);
        return false;
      }
      lane.at = row;
      const isWaiting = lane.busy.has(row.number) || this.#parked.get(row.queue)?.number === row.number;
      if (!isWaiting && queues.admitsJournal(row.queue, row.order)) this.#start(lane, row);
      else {
        skipped += 1;
        if (!isWaiting) this.#parked.set(row.queue, { number: row.number, lane: lane.name });
      }
    }
    return true;
  }

  #wakeIn(lane: Lane, delayMs: number): void {
    if (lane.timer !== null) clearTimeout(lane.timer);
    // setTimeout changes a delay above 2^31 - 1 ms to 1 ms.
    const boundedMs = Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(delayMs)));
    lane.timer = setTimeout(() => {
      lane.timer = null;
      this.#deliverDue(lane);
    }, boundedMs);
  }

  #start(lane: Lane, row: DueRow): void {
    const { number } = row;
    lane.busy.add(number);
    this.#track(
      this.#deliver(lane, row)
        .catch((error: unknown) => {
          this.#deps.log.error({ event: 'delivery-failed', err: error }, 'a write could not be delivered');
          lane.pausedUntilMs = this.#deps.clock.monotonicMs() + PAUSE_MS;
        })
        .finally(() => {
          lane.busy.delete(number);
          if (this.knows(lane.name)) this.wake(lane.name);
          else this.#giveUpRemoved();
        }),
    );
  }

  async #deliver(lane: Lane, row: DueRow): Promise<void> {
    const made = await this.#attempts.make(row, { name: lane.name, origin: lane.target.origin });
    if (made === 'answered') lane.window = Math.min(lane.target.atOnce, lane.window + 1);
  }

  #busyOf(origin: string): Set<number> {
    const busy = this.#busy.get(origin) ?? new Set();
    this.#busy.set(origin, busy);
    return busy;
  }

  #track(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  #giveUpRemoved(): void {
    this.#track(this.#removedOrigins.giveUp());
  }

  /** Returns false and changes nothing if the write is being sent or an operator is changing it. */
  async #unlessBusy(origin: string, number: number, change: () => Promise<void>): Promise<boolean> {
    const release = this.reserve(origin, number);
    if (release === null) return false;
    try {
      await change();
    } finally {
      release();
    }
    return true;
  }
}

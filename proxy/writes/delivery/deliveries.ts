import type { Config } from '../../../policies/config/config.ts';
import type { Origin } from '../../../origin-adapters/origin.ts';
import type { Clock } from '../../threads/clock.ts';
import type { Log } from '../../observability/logger.ts';
import { ResponseWaiters } from './response-waiters.ts';
import { Attempts, type DeliveryCounters } from './attempts.ts';
import type { Journal } from '../journal/journal.ts';
import type { OrderQueueId } from '../journal/order-queues.ts';
import type { OrderQueues } from '../journal/order-queues.ts';
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
  /** From 0 to 1. */
  random(): number;
  /** A write has left its queue, or stopped it. */
  moved(queue: OrderQueueId): void;
}

/** An origin that writes are delivered to. */
export interface DeliveryOrigin {
  readonly origin: Origin;
  /** Deliveries at a time, at most: as many as have connections. */
  readonly atOnce: number;
  /** Monotonic milliseconds until which it is left alone; 0: it is not. */
  openUntilMs(): number;
}

/** Writes whose turn has not come that are looked at in one turn of the loop. */
const PASSED_AT_ONCE = 500;
/** After the state could not be written. */
const PAUSE_MS = 1_000;
const LONGEST_TIMER_MS = 60_000;

/** One origin's deliveries: side by side up to a bound, which an origin that comes back grows into. */
interface Lane {
  readonly name: string;
  readonly target: DeliveryOrigin;
  readonly busy: Set<number>;
  window: number;
  timer: NodeJS.Timeout | null;
  pumping: boolean;
  /** The last write looked at, of those that are due; null: begins with the first. */
  at: DueRow | null;
  /** Something has changed since the first was looked at. */
  again: boolean;
  pausedUntilMs: number;
}

/** Delivers the journal's writes: in order for each URL, side by side for different ones. */
export class Deliveries {
  readonly #deps: DeliveriesDependencies;
  readonly #lanes = new Map<string, Lane>();
  /** What is being sent or changed, by origin; those that are configured no more among them. */
  readonly #busy = new Map<string, Set<number>>();
  /** Writes whose turn has not come, by queue. */
  readonly #parked = new Map<OrderQueueId, { readonly number: number; readonly lane: string }>();
  readonly #waiters = new ResponseWaiters();
  readonly #underWay = new Set<Promise<void>>();
  readonly #attempts: Attempts;
  readonly #removedOrigins: RemovedOrigins;
  #isClosed = false;

  constructor(deps: DeliveriesDependencies) {
    this.#deps = deps;
    this.#attempts = new Attempts({
      ...deps,
      isOver: () => this.#isClosed,
      ended: (number, answer) => this.#waiters.give(number, answer),
    });
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

  /** Delivers by this configuration from now on. Writes to origins that are not in it any more are dead. */
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
        pumping: false,
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

  /** Whether writes to the origin are delivered at all. */
  knows(origin: string): boolean {
    return this.#lanes.has(origin);
  }

  /** A write to the origin was accepted: by a worker that has not heard yet that it is gone, perhaps. */
  accepted(origin: string): void {
    if (this.knows(origin)) this.wake(origin);
    else if (this.#lanes.size > 0) this.#giveUpRemoved();
  }

  /** There may be something to deliver to the origin. */
  wake(origin: string): void {
    const lane = this.#lanes.get(origin);
    if (lane === undefined) return;
    lane.again = true;
    this.#pumpSoon(lane);
  }

  /** There may be something to deliver to any origin, or to one that is gone. */
  wakeAll(): void {
    for (const name of this.#lanes.keys()) this.wake(name);
    this.#giveUpRemoved();
  }

  /** One whose record can't be read was given up. */
  quarantined(number: number): void {
    this.#attempts.quarantined(number);
  }

  /** What waited for its turn in the queue may have it. */
  freed(queue: OrderQueueId): void {
    const parked = this.#parked.get(queue);
    if (parked === undefined) return;
    this.#parked.delete(queue);
    this.wake(parked.lane);
  }

  /** Keeps a write from being sent until the returned is called; null: it is being sent. */
  reserve(origin: string, number: number): (() => void) | null {
    const busy = this.#busyOf(origin);
    if (busy.has(number)) return null;
    busy.add(number);
    return () => {
      busy.delete(number);
      this.wake(origin);
    };
  }

  /** Resolves with the origin's own answer, or null where it does not come in time. */
  responseTo(number: number, waitMs: number): Promise<OriginResponse | null> {
    return this.#waiters.to(number, waitMs);
  }

  /** There will be no answer to it. */
  noResponse(number: number): void {
    this.#waiters.give(number, null);
  }

  /** Nobody is to wait for an answer any more. */
  endWaiting(): void {
    this.#waiters.close();
  }

  /** Begins nothing more; resolves when what is under way is written down. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { timer } of this.#lanes.values()) if (timer !== null) clearTimeout(timer);
    this.#waiters.close();
    await Promise.all(this.#underWay);
  }

  #pumpSoon(lane: Lane): void {
    if (lane.pumping || this.#isClosed) return;
    lane.pumping = true;
    setImmediate(() => {
      lane.pumping = false;
      this.#pump(lane);
    });
  }

  #pump(lane: Lane): void {
    if (this.#isClosed || this.#lanes.get(lane.name) !== lane) return;
    const { clock } = this.#deps;
    const monotonicMs = clock.monotonicMs();
    const heldBackUntilMs = Math.max(lane.target.openUntilMs(), lane.pausedUntilMs);
    if (heldBackUntilMs > monotonicMs) {
      // One at a time when it comes back, and more with each that succeeds.
      lane.window = 1;
      lane.at = null;
      this.#wakeIn(lane, heldBackUntilMs - monotonicMs);
      return;
    }
    if (lane.at === null) lane.again = false;
    if (!this.#startDue(lane)) return;
    lane.at = null;
    if (lane.again) this.#pumpSoon(lane);
  }

  /** True: all that is due was looked at. Else it goes on behind `lane.at`, when there is room or in a turn to come. */
  #startDue(lane: Lane): boolean {
    const { journal, queues, durableClock } = this.#deps;
    const nowMs = durableClock.nowMs();
    let passed = 0;
    for (const row of journal.tables.dues(lane.name, lane.at)) {
      if (lane.busy.size >= lane.window) return false;
      if (row.dueAtMs > nowMs) {
        this.#wakeIn(lane, row.dueAtMs - nowMs);
        return true;
      }
      if (passed === PASSED_AT_ONCE) {
        this.#pumpSoon(lane);
        return false;
      }
      lane.at = row;
      const isWaiting = lane.busy.has(row.number) || this.#parked.get(row.queue)?.number === row.number;
      if (!isWaiting && queues.admitsJournal(row.queue, row.order)) this.#start(lane, row);
      else {
        passed += 1;
        if (!isWaiting) this.#parked.set(row.queue, { number: row.number, lane: lane.name });
      }
    }
    return true;
  }

  #wakeIn(lane: Lane, delayMs: number): void {
    if (lane.timer !== null) clearTimeout(lane.timer);
    // A pause may be longer than a timer takes.
    const boundedMs = Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(delayMs)));
    lane.timer = setTimeout(() => {
      lane.timer = null;
      this.#pump(lane);
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

  /** False: it is being sent still, or an operator is at it. */
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

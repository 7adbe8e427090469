import type { Config, RouteConfig, RouteWriteConfig } from '../../policies/config/config.ts';
import { decideDelivery, type Attempt, type DeliveryDecision } from '../../policies/writes.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log/logger.ts';
import type { Lingering } from './hold-rows.ts';
import type { Journal } from './journal.ts';
import type { LineKey } from './line.ts';
import type { Lines } from './lines.ts';
import { sendOnce, type OriginAnswer } from './origin-answer.ts';
import { Orphans } from './orphans.ts';
import type { WriteRecord } from './record.ts';
import type { DueRow } from './tables.ts';
import { writtenTags } from './written-tags.ts';

export interface DeliveriesDependencies {
  readonly journal: Journal;
  readonly lines: Lines;
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 to 1. */
  random(): number;
  /** A write has left its line, or stopped it. */
  moved(line: LineKey): void;
}

/** An origin that writes are delivered to. */
export interface DeliveryOrigin {
  readonly origin: Origin;
  /** Monotonic milliseconds until which it is left alone; 0: it is not. */
  openUntilMs(): number;
}

export interface DeliveryCounters {
  delivered: number;
  retries: number;
  dead: number;
  /** From acceptance to delivery. */
  readonly seconds: { readonly buckets: number[]; sum: number };
}

export const DELIVERY_BOUNDS_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600, 86_400] as const;

/** The policy of writes whose route is gone. */
const RETRY: RouteWriteConfig['retry'] = { baseMs: 200, maxMs: 60_000, attempts: 20, statuses: null };
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
  pausedUntilMs: number;
}

/** Delivers the journal's writes: in order for each URL, side by side for different ones. */
export class Deliveries {
  readonly counters: DeliveryCounters = {
    delivered: 0,
    retries: 0,
    dead: 0,
    seconds: { buckets: DELIVERY_BOUNDS_SECONDS.map(() => 0).concat(0), sum: 0 },
  };
  readonly #deps: DeliveriesDependencies;
  readonly #lanes = new Map<string, Lane>();
  /** What is being sent or changed, by origin; those that are configured no more among them. */
  readonly #busy = new Map<string, Set<number>>();
  /** Writes whose turn has not come, by line. */
  readonly #parked = new Map<LineKey, { readonly number: number; readonly lane: string }>();
  readonly #waiters = new Map<number, Set<(answer: OriginAnswer | null) => void>>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #orphans: Orphans;
  #config!: Config;
  #isClosed = false;

  constructor(deps: DeliveriesDependencies) {
    this.#deps = deps;
    this.#orphans = new Orphans({
      journal: deps.journal,
      clock: deps.clock,
      isOver: () => this.#isClosed,
      knows: (origin) => this.knows(origin),
      unlessBusy: (record, number, change) => this.#unlessBusy(record.origin, number, change),
      giveUp: (number, record) => this.#dead(number, record, 'skip'),
      free: async (number, record) => {
        await this.#leaveDead(number, record);
        deps.moved(record.line);
      },
    });
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Delivers by this configuration from now on. Writes to origins that are not in it any more are dead. */
  configure(config: Config, targets: ReadonlyMap<string, DeliveryOrigin>): void {
    this.#config = config;
    const before = new Map(this.#lanes);
    this.#lanes.clear();
    for (const [name, target] of targets) {
      const old = before.get(name);
      if (old?.timer) clearTimeout(old.timer);
      this.#lanes.set(name, {
        name,
        target,
        busy: this.#busyOf(name),
        window: config.journal.deliveries,
        timer: null,
        pumping: false,
        pausedUntilMs: 0,
      });
    }
    for (const [name, lane] of before) {
      if (!this.#lanes.has(name) && lane.timer) clearTimeout(lane.timer);
    }
    for (const name of this.#lanes.keys()) this.poke(name);
    this.#giveUpOrphans();
  }

  /** Whether writes to the origin are delivered at all. */
  knows(origin: string): boolean {
    return this.#lanes.has(origin);
  }

  /** A write to the origin was accepted: by a worker that has not heard yet that it is gone, perhaps. */
  accepted(origin: string): void {
    if (this.knows(origin)) this.poke(origin);
    else if (this.#lanes.size > 0) this.#giveUpOrphans();
  }

  /** There may be something to deliver to the origin. */
  poke(origin: string): void {
    const lane = this.#lanes.get(origin);
    if (lane === undefined || lane.pumping || this.#isClosed) return;
    lane.pumping = true;
    setImmediate(() => {
      lane.pumping = false;
      this.#pump(lane);
    });
  }

  /** What waited for its turn in the line may have it. */
  freed(line: LineKey): void {
    const parked = this.#parked.get(line);
    if (parked === undefined) return;
    this.#parked.delete(line);
    this.poke(parked.lane);
  }

  /** Keeps a write from being sent until the returned is called; null: it is being sent. */
  reserve(origin: string, number: number): (() => void) | null {
    const busy = this.#busyOf(origin);
    if (busy.has(number)) return null;
    busy.add(number);
    return () => {
      busy.delete(number);
      this.poke(origin);
    };
  }

  /** Resolves with the origin's own answer, or null where it does not come in time. */
  answerTo(number: number, waitMs: number): Promise<OriginAnswer | null> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(number) ?? new Set();
      this.#waiters.set(number, waiters);
      const take = (answer: OriginAnswer | null): void => {
        clearTimeout(timer);
        waiters.delete(take);
        if (waiters.size === 0) this.#waiters.delete(number);
        resolve(answer);
      };
      const timer = setTimeout(() => take(null), waitMs);
      waiters.add(take);
    });
  }

  /** Begins nothing more; resolves when what is under way is written down. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { timer } of this.#lanes.values()) if (timer !== null) clearTimeout(timer);
    for (const waiters of this.#waiters.values()) for (const take of waiters) take(null);
    await Promise.all(this.#underWay);
  }

  #pump(lane: Lane): void {
    if (this.#isClosed || this.#lanes.get(lane.name) !== lane) return;
    const { journal, lines, clock } = this.#deps;
    const monotonicMs = clock.monotonicMs();
    const heldBackUntilMs = Math.max(lane.target.openUntilMs(), lane.pausedUntilMs);
    if (heldBackUntilMs > monotonicMs) {
      // One at a time when it comes back, and more with each that succeeds.
      lane.window = 1;
      this.#wakeIn(lane, heldBackUntilMs - monotonicMs);
      return;
    }
    const isWaiting = ({ number, line }: { number: number; line: LineKey }): boolean =>
      lane.busy.has(number) || this.#parked.get(line)?.number === number;
    while (lane.busy.size < lane.window) {
      const nowMs = clock.nowMs();
      const { row, atMs } = journal.nextDue(lane.name, nowMs, isWaiting);
      if (row === null) {
        if (Number.isFinite(atMs)) this.#wakeIn(lane, atMs - nowMs);
        return;
      }
      if (lines.admitsJournal(row.line, row.order)) this.#start(lane, row);
      else this.#parked.set(row.line, { number: row.number, lane: lane.name });
    }
  }

  #wakeIn(lane: Lane, delayMs: number): void {
    if (lane.timer !== null) clearTimeout(lane.timer);
    // A wall clock that was set back must not keep it asleep.
    const boundedMs = Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(delayMs)));
    lane.timer = setTimeout(() => {
      lane.timer = null;
      this.#pump(lane);
    }, boundedMs);
  }

  #start(lane: Lane, { number, line }: DueRow): void {
    lane.busy.add(number);
    this.#track(
      this.#deliver(lane, number, line)
        .catch((error: unknown) => {
          this.#deps.log.error({ event: 'delivery-failed', err: error }, 'a write could not be delivered');
          lane.pausedUntilMs = this.#deps.clock.monotonicMs() + PAUSE_MS;
        })
        .finally(() => {
          lane.busy.delete(number);
          if (this.knows(lane.name)) this.poke(lane.name);
          else this.#giveUpOrphans();
        }),
    );
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

  /** One attempt. Rejects where the state can't be written before anything was sent. */
  async #deliver(lane: Lane, number: number, line: LineKey): Promise<void> {
    const { journal, clock, random } = this.#deps;
    const maxProcessingMs = this.#config.origins[lane.name]!.maxProcessingMs;
    const begun = await journal.begin(number, maxProcessingMs);
    if (begun.kind === 'damaged') return this.#damaged(lane, number, line);
    if (begun.kind === 'gone') return;
    const { record, body } = begun;
    const sent = await sendOnce(lane.target.origin, {
      method: record.method,
      path: record.target,
      fields: record.fields,
      body,
      priority: 'background',
      unboundedBody: false,
    });
    if (sent.kind === 'refused') {
      const attempts = record.attempts - 1;
      await this.#persist(() => journal.again(number, { ...record, attempts, isAttempting: false }));
      return;
    }
    const { attempt, answer } = sent;
    const nowMs = clock.nowMs();
    const { retry } = this.#writePolicy(record);
    const decision = decideDelivery(attempt, record, retry, nowMs, random());
    if (attempt.kind === 'answered') lane.window = Math.min(this.#config.journal.deliveries, lane.window + 1);
    const after = afterAttempt(record, decision, nowMs, maxProcessingMs);
    switch (decision.kind) {
      case 'delivered':
        await this.#delivered(number, after, attempt);
        break;
      case 'retry':
        this.counters.retries += 1;
        this.#log('write-retried', after, { error: decision.error, afterMs: Math.round(decision.afterMs) });
        await this.#persist(() => journal.again(number, after));
        return;
      case 'dead':
        await this.#dead(number, after, this.#writePolicy(record).onDead);
        break;
      default:
        decision satisfies never;
    }
    for (const take of this.#waiters.get(number) ?? []) take(answer);
  }

  /** It is never sent. Where not even its record can be read, it stops its own line and nothing else. */
  async #damaged(lane: Lane, number: number, line: LineKey): Promise<void> {
    const { journal, clock, log } = this.#deps;
    const read = journal.tables.record('waiting', number);
    if (read?.kind !== 'record') {
      this.#parked.set(line, { number, lane: lane.name });
      log.error(
        { event: 'write-damaged', number },
        'a record of the journal can not be read: it is not sent',
      );
      return;
    }
    const lastError = 'its content is damaged on disk: it was not sent';
    await this.#dead(number, { ...read.record, state: 'dead', lastError, endedAtMs: clock.nowMs() }, 'hold');
  }

  async #delivered(number: number, record: WriteRecord, attempt: Attempt): Promise<void> {
    const { journal, clock } = this.#deps;
    const { counters } = this;
    const answer = attempt.kind === 'answered' ? attempt : { status: 204, fields: [] };
    const origin = this.#config.origins[record.origin] ?? null;
    const moreTags = writtenTags(this.#config, origin, record, answer);
    const lingering = this.#lingeringOf(number, record);
    await this.#persist(() => journal.leave(number, { shelf: 'done', record, lingering, moreTags }));
    counters.delivered += 1;
    const seconds = (clock.nowMs() - record.acceptedAtMs) / 1000;
    const bucket = DELIVERY_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    counters.seconds.buckets[bucket < 0 ? DELIVERY_BOUNDS_SECONDS.length : bucket]! += 1;
    counters.seconds.sum += seconds;
    this.#log('write-delivered', record, { status: answer.status });
    this.#deps.moved(record.line);
  }

  async #dead(number: number, record: WriteRecord, onDead: RouteWriteConfig['onDead']): Promise<void> {
    this.counters.dead += 1;
    this.#deps.log.error(
      {
        event: 'write-dead',
        write: record.id,
        state: record.state,
        error: record.lastError,
        origin: record.origin,
      },
      'a write was given up: see weir writes',
    );
    if (onDead === 'hold') await this.#persist(() => this.#deps.journal.stopLine(number, record));
    else await this.#leaveDead(number, record);
    this.#deps.moved(record.line);
  }

  async #leaveDead(number: number, record: WriteRecord): Promise<void> {
    const lingering = this.#blockingOf(record);
    const leaving = { shelf: 'dead', record, lingering, moreTags: [] } as const;
    await this.#persist(() => this.#deps.journal.leave(number, leaving));
  }

  /** What is held on: while an attempt may still be carried out, and for readers of a pending value the read lag. */
  #lingeringOf(number: number, record: WriteRecord): Lingering | null {
    const blocking = this.#blockingOf(record);
    const isShown = record.method === 'PUT' || record.method === 'DELETE';
    const readLagMs = this.#pendingReadLagMs(record);
    const isLast = this.#deps.journal.tables.last(record.line)?.number === number;
    if (blocking !== null || readLagMs === 0 || !isShown || !isLast) return blocking;
    const untilMs = this.#deps.clock.nowMs() + readLagMs;
    return { kind: 'lingering', untilMs, maxMs: readLagMs, blocks: false, shown: number };
  }

  #blockingOf(record: WriteRecord): Lingering | null {
    const maxMs = record.unknownUntilMs - this.#deps.clock.nowMs();
    if (maxMs <= 0) return null;
    return { kind: 'lingering', untilMs: record.unknownUntilMs, maxMs, blocks: true, shown: 0 };
  }

  #pendingReadLagMs(record: WriteRecord): number {
    const route = this.#routeOf(record);
    if (route?.write.reads !== 'pending' || route.cache.feed === null) return 0;
    return this.#config.feeds[route.cache.feed]?.readLagMs ?? 0;
  }

  #routeOf(record: WriteRecord): RouteConfig | undefined {
    return this.#config.routes.find(({ name }) => name === record.route);
  }

  #writePolicy(record: WriteRecord): Pick<RouteWriteConfig, 'retry' | 'onDead'> {
    return this.#routeOf(record)?.write ?? { retry: RETRY, onDead: 'hold' };
  }

  #giveUpOrphans(): void {
    this.#track(this.#orphans.giveUp());
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

  /** What the origin was asked is written down whatever it takes: else it would be asked again. */
  async #persist(change: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await change();
        return;
      } catch (error) {
        this.#deps.log.error({ event: 'journal-not-durable', err: error }, 'the journal can not be written');
        if (this.#isClosed) return;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  #log(event: string, record: WriteRecord, more: object): void {
    const { id, method, origin, attempts } = record;
    this.#deps.log.info({ event, write: id, method, origin, attempts, ...more });
  }
}

/** The record as it is after an attempt. */
function afterAttempt(
  record: WriteRecord,
  decision: DeliveryDecision,
  nowMs: number,
  maxProcessingMs: number,
): WriteRecord {
  if (decision.kind === 'delivered') {
    return { ...record, state: 'done', isAttempting: false, lastError: null, endedAtMs: nowMs };
  }
  const isUnknown = decision.outcome === 'unknown';
  const after: WriteRecord = {
    ...record,
    isAttempting: false,
    lastError: decision.error,
    // A failure of the origin may have come after the change.
    wasUncertain: record.wasUncertain || decision.outcome !== 'rejected',
    unknownUntilMs: isUnknown ? nowMs + maxProcessingMs : record.unknownUntilMs,
  };
  if (decision.kind === 'retry') return { ...after, dueAtMs: nowMs + decision.afterMs };
  return { ...after, state: decision.state, endedAtMs: nowMs };
}

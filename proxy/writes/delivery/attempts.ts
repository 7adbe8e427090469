import type { Config, RouteConfig, RouteWriteConfig } from '../../../policies/config/config.ts';
import { decideDelivery, type Attempt, type DeliveryDecision } from '../../../policies/writes.ts';
import type { Fields } from '../../../policies/http/fields.ts';
import { endToEnd } from '../../../policies/http/forwarding.ts';
import type { Origin, OriginFailure, OriginRequest } from '../../../origin-adapters/origin.ts';
import { BreakerOpen } from '../../../origin-adapters/http/breaker.ts';
import type { Clock } from '../../threads/clock.ts';
import type { Log } from '../../observability/logger.ts';
import { timedHoldOf, type TimedHold } from '../journal/hold-rows.ts';
import type { Begun, Journal } from '../journal/journal.ts';
import type { OrderQueueId } from '../journal/order-queues.ts';
import { UNREADABLE, unreadableId, type OriginResponse, type WriteRecord } from '../journal/record.ts';
import type { DurableClock } from '../journal/durable-clock.ts';
import type { DueRow } from '../journal/tables.ts';
import { compileWriteRules } from '../../../policies/compiled-routes.ts';
import { namedTags, writtenTags, type WriteRules } from '../../../policies/written-tags.ts';

export interface AttemptsDependencies {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly durableClock: DurableClock;
  readonly log: Log;
  /** A random number from 0 (included) to 1 (excluded), for the jitter of retries. */
  random(): number;
  /** True while Weir stops: a failed write of the state is then not retried. */
  isOver(): boolean;
  /** Called when a write has left its queue, or has become dead and stops it. */
  moved(queue: OrderQueueId): void;
  /** Called after a write's last attempt. `response` is null: the origin gave none, or one that can't be kept. */
  ended(number: number, response: OriginResponse | null): void;
}

export interface AskedOrigin {
  readonly name: string;
  readonly origin: Origin;
}

/** The origin answered or failed, or was sent nothing. */
export type AttemptResult = 'answered' | 'failed' | 'nothing';

export interface DeliveryCounters {
  delivered: number;
  retries: number;
  dead: number;
  /** The histogram of the time from acceptance to delivery. */
  readonly seconds: { readonly buckets: number[]; sum: number };
}

export const DELIVERY_BOUNDS_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600, 86_400] as const;

/** The retry policy for writes whose route is no longer configured. */
const RETRY: RouteWriteConfig['retry'] = { baseMs: 200, maxMs: 60_000, attempts: 20, statuses: null };
/** The pause before a failed write of the state is retried. */
const PAUSE_MS = 1_000;

/** Sends writes of the journal to their origins, one attempt at a time, and makes the outcome durable. */
export class Attempts {
  readonly counters: DeliveryCounters = {
    delivered: 0,
    retries: 0,
    dead: 0,
    seconds: { buckets: DELIVERY_BOUNDS_SECONDS.map(() => 0).concat(0), sum: 0 },
  };
  readonly #deps: AttemptsDependencies;
  #config!: Config;
  #rules!: WriteRules;

  constructor(deps: AttemptsDependencies) {
    this.#deps = deps;
  }

  configure(config: Config): void {
    this.#config = config;
    this.#rules = compileWriteRules(config);
  }

  /** Makes one attempt. Rejects and sends nothing if the state can't be written. */
  async make(row: DueRow, { name, origin }: AskedOrigin): Promise<AttemptResult> {
    const { number } = row;
    const maxProcessingMs = this.#config.origins[name]!.maxProcessingMs;
    const begun = await this.#deps.journal.begin(number, maxProcessingMs);
    switch (begun.kind) {
      case 'begun':
        return this.#send(number, begun, { origin, maxProcessingMs });
      case 'damaged':
        await this.#damaged(number, begun.record);
        return 'nothing';
      case 'unreadable':
        await this.quarantine(row);
        return 'nothing';
      case 'gone':
        return 'nothing';
      default:
        return begun satisfies never;
    }
  }

  /** Makes the write dead. Its queue stops (`hold`) or continues without it (`skip`). */
  async giveUp(
    number: number,
    record: WriteRecord,
    onDead: RouteWriteConfig['onDead'],
    response: OriginResponse | null = null,
  ): Promise<void> {
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
    if (onDead === 'hold') await this.#persist(() => this.#deps.journal.stopQueue(number, record, response));
    else await this.leaveDead(number, record, response);
    this.#deps.moved(record.queue);
    this.#deps.ended(number, response);
  }

  /** Gives up a write whose record can't be read. */
  async quarantine(row: DueRow): Promise<void> {
    await this.#persist(() => this.#deps.journal.quarantine(row));
    this.#deps.moved(row.queue);
  }

  /** Counts and logs an unreadable write that the journal has given up. */
  quarantined(number: number): void {
    this.counters.dead += 1;
    const write = unreadableId(number);
    this.#deps.log.error(
      { event: 'write-dead', write, error: UNREADABLE },
      'a write was given up: see weir writes',
    );
    this.#deps.ended(number, null);
  }

  /** Removes a dead write from its queue, so that the next one is delivered. */
  async leaveDead(
    number: number,
    record: WriteRecord,
    response: OriginResponse | null = null,
  ): Promise<void> {
    const timedHold = timedHoldOf(record, this.#deps.durableClock.nowMs());
    const leaving = { section: 'dead', record, response, timedHold, moreTags: [] } as const;
    await this.#persist(() => this.#deps.journal.leave(number, leaving));
  }

  async #send(
    number: number,
    { record, body }: Begun & { kind: 'begun' },
    { origin, maxProcessingMs }: { readonly origin: Origin; readonly maxProcessingMs: number },
  ): Promise<AttemptResult> {
    const { journal, clock, durableClock, random } = this.#deps;
    const sent = await sendOnce(origin, {
      method: record.method,
      path: record.target,
      fields: record.fields,
      body,
      priority: 'background',
      unboundedBody: false,
    });
    if (sent.kind === 'not-sent') {
      const attempts = record.attempts - 1;
      await this.#persist(() => journal.again(number, { ...record, attempts, isAttempting: false }));
      return 'nothing';
    }
    const { attempt, response } = sent;
    const wallMs = clock.nowMs();
    const { retry } = this.#writePolicy(record);
    const decision = decideDelivery(attempt, record, retry, wallMs, random());
    const status = attempt.kind === 'answered' ? attempt.status : null;
    const after = afterAttempt(record, decision, status, {
      wallMs,
      nowMs: durableClock.nowMs(),
      maxProcessingMs,
    });
    switch (decision.kind) {
      case 'delivered':
        await this.#delivered(number, after, attempt, response);
        this.#deps.ended(number, response);
        break;
      case 'retry':
        this.counters.retries += 1;
        this.#log('write-retried', after, { error: decision.error, afterMs: Math.round(decision.afterMs) });
        await this.#persist(() => journal.again(number, after));
        break;
      case 'dead':
        await this.giveUp(number, after, this.#writePolicy(record).onDead, response);
        break;
      default:
        decision satisfies never;
    }
    return attempt.kind;
  }

  /** Damaged content is never sent. */
  async #damaged(number: number, read: WriteRecord): Promise<void> {
    const lastError = 'the content is damaged on disk: the write was not sent';
    const record = { ...read, state: 'dead', lastError, endedAtMs: this.#deps.clock.nowMs() } as const;
    await this.giveUp(number, record, 'hold');
  }

  async #delivered(
    number: number,
    record: WriteRecord,
    attempt: Attempt,
    response: OriginResponse | null,
  ): Promise<void> {
    const { journal, clock } = this.#deps;
    const { counters } = this;
    const head = attempt.kind === 'answered' ? attempt : { status: 204, fields: [] };
    const origin = this.#config.origins[record.origin] ?? null;
    // The record's tags follow the rules at acceptance; these follow the rules now in force.
    const moreTags = [...writtenTags(this.#config, origin, record, head), ...namedTags(this.#rules, record)];
    const timedHold = this.#timedHoldFor(number, record);
    await this.#persist(() =>
      journal.leave(number, { section: 'done', record, response, timedHold, moreTags }),
    );
    counters.delivered += 1;
    const seconds = Math.max(0, clock.nowMs() - record.acceptedAtMs) / 1000;
    const bucket = DELIVERY_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    counters.seconds.buckets[bucket < 0 ? DELIVERY_BOUNDS_SECONDS.length : bucket]! += 1;
    counters.seconds.sum += seconds;
    this.#log('write-delivered', record, { status: head.status });
    this.#deps.moved(record.queue);
  }

  /** The hold that outlasts the write: while the origin may still process it, and for `pending` during the read lag. */
  #timedHoldFor(number: number, record: WriteRecord): TimedHold | null {
    const nowMs = this.#deps.durableClock.nowMs();
    const blocking = timedHoldOf(record, nowMs);
    const isShown = record.method === 'PUT' || record.method === 'DELETE';
    const readLagMs = isShown ? this.#pendingReadLagMs(record) : 0;
    if (readLagMs === 0) return blocking;
    const maxMs = Math.max(readLagMs, blocking?.maxMs ?? 0);
    return { kind: 'timed', untilMs: nowMs + maxMs, maxMs, blocks: blocking !== null, shown: number };
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

  /** Retries until the state is written: after a restart Weir would resend a write whose outcome is not durable. */
  async #persist(change: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await change();
        return;
      } catch (error) {
        this.#deps.log.error({ event: 'journal-not-durable', err: error }, 'the journal can not be written');
        if (this.#deps.isOver()) return;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  #log(event: string, record: WriteRecord, more: object): void {
    const { id, method, origin, attempts } = record;
    this.#deps.log.info({ event, write: id, method, origin, attempts, ...more });
  }
}

/** The record after an attempt. `status` is the origin's; null: it gave none. */
function afterAttempt(
  record: WriteRecord,
  decision: DeliveryDecision,
  status: number | null,
  { wallMs, nowMs, maxProcessingMs }: Record<'wallMs' | 'nowMs' | 'maxProcessingMs', number>,
): WriteRecord {
  if (decision.kind === 'delivered') {
    return { ...record, state: 'done', isAttempting: false, lastError: null, status, endedAtMs: wallMs };
  }
  const isUnknown = decision.outcome === 'unknown';
  const after: WriteRecord = {
    ...record,
    isAttempting: false,
    lastError: decision.error,
    // An origin that fails may have carried out the write before it failed.
    wasUncertain: record.wasUncertain || decision.outcome !== 'rejected',
    unknownUntilMs: isUnknown ? nowMs + maxProcessingMs : record.unknownUntilMs,
  };
  if (decision.kind === 'retry') return { ...after, dueAtMs: nowMs + decision.afterMs };
  return { ...after, state: decision.state, status, endedAtMs: wallMs };
}

/** The result of one attempt. */
export type Sent =
  /** `response` is null: it is incomplete, or too large to be kept. */
  | { readonly kind: 'attempted'; readonly attempt: Attempt; readonly response: OriginResponse | null }
  /** Weir sent no byte of the request, so this does not count as an attempt. */
  | { readonly kind: 'not-sent' };

const MAX_RESPONSE_BYTES = 2 ** 20;

/** Sends a write once and reads the whole response. Never rejects. */
export function sendOnce(origin: Origin, request: OriginRequest): Promise<Sent> {
  return new Promise((resolve) => {
    let status = 0;
    let fields: Fields = [];
    let bytes = 0;
    const chunks: Uint8Array[] = [];
    const answered = (response: OriginResponse | null): void =>
      resolve({ kind: 'attempted', attempt: { kind: 'answered', status, fields }, response });
    origin.send(request, {
      onInformational: () => {},
      onHead(itsStatus, itsFields) {
        status = itsStatus;
        fields = itsFields;
      },
      onData(chunk) {
        bytes += chunk.byteLength;
        if (bytes <= MAX_RESPONSE_BYTES) chunks.push(chunk);
        else chunks.length = 0;
      },
      onEnd: () =>
        answered(
          bytes > MAX_RESPONSE_BYTES
            ? null
            : { status, fields: endToEnd(fields), content: new Uint8Array(Buffer.concat(chunks)) },
        ),
      onFailure(failure) {
        // The status line shows the outcome; only content was lost.
        if (status !== 0) answered(null);
        else if (wasNotSent(failure)) resolve({ kind: 'not-sent' });
        else resolve({ kind: 'attempted', attempt: failed(failure), response: null });
      },
    });
  });
}

/** True: the breaker is open, no connection was free in time, or Weir stops. */
function wasNotSent({ kind, maybeProcessed, cause }: OriginFailure): boolean {
  if (maybeProcessed) return false;
  return (
    cause instanceof BreakerOpen || kind === 'connection_limit_reached' || kind === 'connection_terminated'
  );
}

function failed({ maybeProcessed, message }: OriginFailure): Attempt {
  return { kind: 'failed', maybeProcessed, message };
}

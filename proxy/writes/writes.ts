import type { Config, OriginConfig } from '../../policies/config/config.ts';
import { repeatedResponseFields } from '../../policies/writes.ts';
import { createHttpOrigin } from '../../origin-adapters/http-origin.ts';
import type { Origin, OriginObserver } from '../../origin-adapters/origin.ts';
import type { Clock } from '../threads/clock.ts';
import type { Fence } from '../fence/fence.ts';
import type { Log } from '../observability/logger.ts';
import { journalConnections } from '../origins/connection-shares.ts';
import type { OriginCells } from '../origins/origin-cells.ts';
import type { OriginCounters } from '../origins/origin-counters.ts';
import type { Handlers } from '../threads/channel.ts';
import type { StateStore } from '../state/state-store.ts';
import { Deliveries, type DeliveryOrigin } from './delivery/deliveries.ts';
import { ResponseWaiters } from './delivery/response-waiters.ts';
import { Journal, type WriteProgress } from './journal/journal.ts';
import { HoldSlots } from './through/hold-slots.ts';
import { TimedHolds } from './journal/timed-holds.ts';
import { orderQueueId, OrderQueues, type OrderQueueId } from './journal/order-queues.ts';
import { PendingWrites } from './journal/pending-writes.ts';
import { DurableClock } from './journal/durable-clock.ts';
import { WriteThroughGate } from './through/gate.ts';
import { JournalAdmin } from './journal-admin.ts';
import { numberOf, type OriginResponse } from './journal/record.ts';
import type { AcceptedWrite, OfferedRequest, WaitedResponse, WriteCalls } from './calls.ts';

export interface WritesDependencies {
  readonly config: Config;
  readonly state: StateStore;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly log: Log;
  readonly originCounters: OriginCounters;
  readonly workers: number;
}

/** How long requests to origins that a reload has replaced may take to finish. */
const ORIGIN_GRACE_MS = 60_000;

/** The coordinator's side of writes: composes the journal, its delivery and the write-through gate. */
export class Writes {
  readonly admin: JournalAdmin;
  readonly #deps: WritesDependencies;
  readonly #queues: OrderQueues;
  readonly #slots: HoldSlots;
  readonly #timedHolds: TimedHolds;
  readonly #journal: Journal;
  readonly #deliveries: Deliveries;
  readonly #pendingWrites: PendingWrites;
  readonly #gate: WriteThroughGate;
  readonly #waiters = new ResponseWaiters();
  /** The waits whose result a worker has not fetched yet, by worker and ticket. */
  readonly #waits = new Map<string, Promise<WaitedResponse>>();
  #tickets = 0;
  #config: Config;
  #origins: Origin[] = [];
  #merged = 0;
  #accepted = 0;

  private constructor(deps: WritesDependencies) {
    const durableClock = new DurableClock(deps);
    this.#deps = deps;
    this.#config = deps.config;
    this.#queues = new OrderQueues(
      {
        first: (queue) => this.#journal.tables.first(queue)?.order ?? null,
        last: (queue) => this.#journal.tables.last(queue)?.order ?? null,
      },
      (queue) => this.#deliveries.freed(queue),
    );
    this.#slots = new HoldSlots({ limits: () => this.#config.writes, durableClock, log: deps.log });
    this.#timedHolds = new TimedHolds({
      ...deps,
      durableClock,
      slots: this.#slots,
      queues: () => this.#queues,
    });
    this.#journal = new Journal({
      ...deps,
      durableClock,
      timedHolds: this.#timedHolds,
      limits: () => this.#config.journal,
      hasWaitingBehind: (queue) => this.#queues.hasWaiting(queue),
      onQuarantined: (number) => this.#deliveries.quarantined(number),
    });
    const moved = (queue: OrderQueueId): void => {
      this.#queues.journalMoved(queue);
      this.#pendingWrites.moved(queue);
    };
    this.#deliveries = new Deliveries({
      ...deps,
      durableClock,
      journal: this.#journal,
      queues: this.#queues,
      random: Math.random,
      moved,
      ended: (number, response) => this.#waiters.settle(number, response),
    });
    this.#pendingWrites = new PendingWrites(this.#journal, this.#timedHolds);
    this.#gate = new WriteThroughGate({
      ...deps,
      durableClock,
      queues: this.#queues,
      timedHolds: this.#timedHolds,
      slots: this.#slots,
    });
    this.admin = new JournalAdmin({
      journal: this.#journal,
      deliveries: this.#deliveries,
      log: deps.log,
      clock: deps.clock,
      durableClock,
      moved,
      discarded: (number) => this.#waiters.settle(number, null),
      counts: () => ({
        accepted: this.#accepted,
        merged: this.#merged,
        through: this.#gate.running,
        timedHolds: this.#timedHolds.size,
        held: this.#slots.taken,
        refused: this.#slots.refused,
      }),
    });
  }

  /** Restores the holds of earlier runs. Must resolve before any reader uses the fence. */
  static async open(deps: WritesDependencies): Promise<Writes> {
    const writes = new Writes(deps);
    writes.#journal.restoreHolds();
    await writes.#timedHolds.restore();
    return writes;
  }

  /** To be called if the state was restored from a copy. Waiting writes may have been delivered since; none is sent. */
  distrustWaiting(): Promise<void> {
    return this.#journal.distrustWaiting();
  }

  /** Applies a configuration. `origins` are its origins with the URLs at which they are reached. */
  configure(
    config: Config,
    origins: readonly OriginConfig[],
    originCells: OriginCells,
    observerOf: (origin: string) => OriginObserver | null = () => null,
  ): void {
    const { clock, originCounters, workers } = this.#deps;
    const replaced = this.#origins;
    this.#config = config;
    const targets = new Map<string, DeliveryOrigin>();
    this.#origins = origins.map((configured) => {
      const { name } = configured;
      const breaker = originCells.breakerOf(configured);
      const connections = journalConnections(config, configured, workers);
      const origin = createHttpOrigin(forDeliveries(config, configured, connections), {
        clock,
        breaker,
        isHealthy: (url) => originCells.isHealthy(name, url),
        observer: observerOf(name),
      });
      originCounters.add(name, origin);
      targets.set(name, {
        origin,
        atOnce: Math.min(config.journal.deliveries, connections * configured.urls.length),
        openUntilMs: () => breaker?.openUntilMs ?? 0,
      });
      return origin;
    });
    this.#deliveries.configure(config, targets);
    for (const origin of replaced) void originCounters.end(origin, ORIGIN_GRACE_MS);
  }

  /** The handlers of the calls of the worker with this instance number. */
  callsOf(instance: number): Handlers<WriteCalls> {
    return {
      admitThrough: (request) => this.#gate.admit(instance, request),
      abandonThrough: ({ ticket }) => this.#gate.abandon(instance, ticket),
      settleThrough: (end) => this.#gate.settle(end),
      takeSlot: (write) => this.#gate.takeSlot(instance, write),
      giveSlot: ({ slot }) => this.#gate.giveSlot(slot),
      holdUnknown: (write) => this.#gate.holdUnknown(write),
      acceptWrite: (request) => this.#accept(instance, request),
      originResponse: ({ ticket }) => this.#originResponse(`${instance}:${ticket}`),
      readPending: ({ queues, mode, waitMs }) =>
        this.#pendingWrites.read(queues.map(orderQueueId), mode, waitMs),
    };
  }

  /** Treats each write that the worker had under way as one of unknown outcome. */
  workerDied(instance: number): void {
    this.#gate.workerDied(instance);
    for (const key of this.#waits.keys()) if (key.startsWith(`${instance}:`)) this.#waits.delete(key);
  }

  /** Ends the waits, because Weir stops: clients get a response at once, without the origin's. */
  endWaiting(): void {
    this.#queues.endWaiting();
    this.#waiters.close();
  }

  /** Starts no further delivery. Resolves when the outcomes of those under way are durable. */
  async close(): Promise<void> {
    this.#waiters.close();
    const closing = this.#deliveries.close();
    await Promise.all(this.#origins.map((origin) => origin.close(STOP_GRACE_MS)));
    await closing;
    this.#timedHolds.close();
  }

  async #accept(instance: number, { queue, waitMs, ...offered }: OfferedRequest): Promise<AcceptedWrite> {
    const key = orderQueueId(queue);
    const acceptance = await this.#journal.accept({
      ...offered,
      origin: queue.origin,
      target: queue.target,
      queue: key,
    });
    switch (acceptance.kind) {
      case 'accepted': {
        const { id, number, merged } = acceptance;
        this.#accepted += 1;
        if (merged !== null) this.#noteMerged(merged);
        this.#deps.log.info({
          event: 'write-accepted',
          write: id,
          method: offered.method,
          origin: queue.origin,
          ...(merged === null ? {} : { merged }),
        });
        this.#deliveries.accepted(queue.origin);
        const ticket = this.#startWait(instance, waitMs, () => this.#waiters.wait(number, waitMs), number);
        return { kind: 'accepted', id, progress: ACCEPTED, ticket };
      }
      case 'repeated': {
        const { id, number } = acceptance;
        this.#deps.log.info({
          event: 'write-repeated',
          write: id,
          method: offered.method,
          origin: queue.origin,
        });
        const progress = this.#journal.progress(number);
        const ticket = this.#startWait(
          instance,
          waitMs,
          () => this.#repeatedResponse(number, waitMs),
          number,
        );
        return { kind: 'accepted', id, progress, ticket };
      }
      case 'mismatch':
      case 'full':
      case 'not-durable':
        return acceptance;
      default:
        return acceptance satisfies never;
    }
  }

  /** Notes that a later write has replaced this one before it was sent: no response will arrive. */
  #noteMerged(id: string): void {
    this.#merged += 1;
    this.#waiters.settle(numberOf(id)!, null);
  }

  /** Begins to wait before the worker asks for the response, which may arrive first. Null: the client does not wait. */
  #startWait(
    instance: number,
    waitMs: number,
    response: () => Promise<OriginResponse | null>,
    number: number,
  ): number | null {
    if (waitMs === 0) return null;
    this.#tickets += 1;
    const wait = response().then((came): WaitedResponse =>
      came === null
        ? { kind: 'none', progress: this.#journal.progress(number) }
        : { kind: 'response', response: came },
    );
    // A rejection before the worker asks would be unhandled; it also gets the error.
    wait.catch((error: unknown) =>
      this.#deps.log.error({ event: 'response-wait-failed', err: error }, 'a response could not be read'),
    );
    this.#waits.set(`${instance}:${this.#tickets}`, wait);
    return this.#tickets;
  }

  /** The response to repeat: for a finished write the kept one, for a waiting write the one that arrives in time. */
  async #repeatedResponse(number: number, waitMs: number): Promise<OriginResponse | null> {
    const isWaiting = this.#journal.progress(number).state === 'waiting';
    const response = isWaiting
      ? await this.#waiters.wait(number, waitMs)
      : this.#journal.tables.response(number);
    return response === null ? null : { ...response, fields: repeatedResponseFields(response.fields) };
  }

  async #originResponse(key: string): Promise<WaitedResponse> {
    const wait = this.#waits.get(key);
    this.#waits.delete(key);
    if (wait === undefined) throw new Error('this ticket has no wait');
    return wait;
  }
}

const ACCEPTED: WriteProgress = { state: 'waiting', status: null, mergedInto: null };

const STOP_GRACE_MS = 5_000;

/** An origin whose queue has a place for each concurrent delivery: none is refused while it waits for a connection. */
function forDeliveries(config: Config, origin: OriginConfig, connections: number): OriginConfig {
  const { deliveries } = config.journal;
  return {
    ...origin,
    connections,
    queue: { size: deliveries, timeoutMs: Math.max(60_000, origin.queue.timeoutMs) },
  };
}

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
import { Journal, type WriteProgress } from './journal/journal.ts';
import { HoldSlots } from './through/hold-slots.ts';
import { orderQueueId, type OrderQueueId } from './journal/order-queues.ts';
import { TimedHolds } from './journal/timed-holds.ts';
import { OrderQueues } from './journal/order-queues.ts';
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
  readonly asked: OriginCounters;
  readonly workers: number;
}

/** Origins that a reload has replaced may finish what they do. */
const ORIGIN_GRACE_MS = 60_000;

/** All that the coordinator does about writes. */
export class Writes {
  /** What operators see and do. */
  readonly admin: JournalAdmin;
  readonly #deps: WritesDependencies;
  readonly #queues: OrderQueues;
  readonly #slots: HoldSlots;
  readonly #timedHolds: TimedHolds;
  readonly #journal: Journal;
  readonly #deliveries: Deliveries;
  readonly #pendingWrites: PendingWrites;
  readonly #gate: WriteThroughGate;
  /** What clients wait for, by worker and ticket. */
  readonly #promised = new Map<string, Promise<WaitedResponse>>();
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

  /** Takes over what earlier runs left. To be called before any reader is there. */
  static async open(deps: WritesDependencies): Promise<Writes> {
    const writes = new Writes(deps);
    writes.#journal.restoreHolds();
    await writes.#timedHolds.restore();
    return writes;
  }

  /** The state was put back from a copy: no write is sent of which nobody knows whether it was delivered since. */
  distrustWaiting(): Promise<void> {
    return this.#journal.distrustWaiting();
  }

  /** Delivers by this configuration from now on. `origins` are its own, as they are reached. */
  configure(
    config: Config,
    origins: readonly OriginConfig[],
    board: OriginCells,
    observerOf: (origin: string) => OriginObserver | null = () => null,
  ): void {
    const { clock, asked, workers } = this.#deps;
    const before = this.#origins;
    this.#config = config;
    const targets = new Map<string, DeliveryOrigin>();
    this.#origins = origins.map((configured) => {
      const { name } = configured;
      const breaker = board.breakerOf(configured);
      const connections = journalConnections(config, configured, workers);
      const origin = createHttpOrigin(forDeliveries(config, configured, connections), {
        clock,
        breaker,
        isHealthy: (url) => board.isWell(name, url),
        observer: observerOf(name),
      });
      asked.add(name, origin);
      targets.set(name, {
        origin,
        atOnce: Math.min(config.journal.deliveries, connections * configured.urls.length),
        openUntilMs: () => breaker?.openUntilMs ?? 0,
      });
      return origin;
    });
    this.#deliveries.configure(config, targets);
    for (const origin of before) void asked.end(origin, ORIGIN_GRACE_MS);
  }

  /** `instance` is the worker's. */
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

  /** What the worker had under way has an unknown outcome. */
  workerDied(instance: number): void {
    this.#gate.workerDied(instance);
    for (const key of this.#promised.keys()) if (key.startsWith(`${instance}:`)) this.#promised.delete(key);
  }

  /** Weir stops: clients are not to wait for what may come later than that. They get their waiters at once. */
  endWaiting(): void {
    this.#queues.endWaiting();
    this.#deliveries.endWaiting();
  }

  /** Begins no delivery more; resolves when those under way are written down. What is not delivered stays. */
  async close(): Promise<void> {
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
        const ticket = this.#promise(instance, waitMs, () => this.#firstResponse(number, waitMs));
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
        const ticket = this.#promise(instance, waitMs, () => this.#repeatedResponse(number, waitMs));
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

  /** A later write has taken its place: no answer will come for it. */
  #noteMerged(id: string): void {
    this.#merged += 1;
    this.#deliveries.noResponse(numberOf(id)!);
  }

  /** Waits from now on, so that no response is missed that comes before the worker asks for it. */
  #promise(instance: number, waitMs: number, wait: () => Promise<WaitedResponse>): number | null {
    if (waitMs === 0) return null;
    this.#tickets += 1;
    this.#promised.set(`${instance}:${this.#tickets}`, wait());
    return this.#tickets;
  }

  async #firstResponse(number: number, waitMs: number): Promise<WaitedResponse> {
    return this.#waited(number, await this.#deliveries.responseTo(number, waitMs));
  }

  /** Of a write that is over, the one that was kept. */
  async #repeatedResponse(number: number, waitMs: number): Promise<WaitedResponse> {
    const isWaiting = this.#journal.progress(number).state === 'waiting';
    const response = isWaiting
      ? await this.#deliveries.responseTo(number, waitMs)
      : this.#journal.tables.response(number);
    if (response === null) return this.#waited(number, null);
    return this.#waited(number, { ...response, fields: repeatedResponseFields(response.fields) });
  }

  #waited(number: number, response: OriginResponse | null): WaitedResponse {
    if (response !== null) return { kind: 'response', response };
    return { kind: 'none', progress: this.#journal.progress(number) };
  }

  async #originResponse(key: string): Promise<WaitedResponse> {
    const waited = this.#promised.get(key);
    this.#promised.delete(key);
    if (waited === undefined) throw new Error('nothing is waited for under this ticket');
    return waited;
  }
}

const ACCEPTED: WriteProgress = { state: 'waiting', status: null, mergedInto: null };

const STOP_GRACE_MS = 5_000;

/** As many connections as deliveries; none waits long for one. */
function forDeliveries(config: Config, origin: OriginConfig, connections: number): OriginConfig {
  const { deliveries } = config.journal;
  return {
    ...origin,
    connections,
    queue: { size: deliveries, timeoutMs: Math.max(60_000, origin.queue.timeoutMs) },
  };
}

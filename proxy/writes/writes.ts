import type { Config, OriginConfig } from '../../policies/config/config.ts';
import { createHttpOrigin } from '../../origin-adapters/http-origin.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import type { Clock } from '../clock.ts';
import type { Fence } from '../fence/fence.ts';
import type { Log } from '../log/logger.ts';
import type { OriginBoard } from '../origins/origin-board.ts';
import type { CoordinatorCalls } from '../process/calls.ts';
import type { Handlers } from '../process/channel.ts';
import type { StateStore } from '../state/state-store.ts';
import { Deliveries, type DeliveryOrigin } from './deliveries.ts';
import { Journal } from './journal.ts';
import { lineKeyOf, type LineKey } from './line.ts';
import { LingeringHolds } from './lingering-holds.ts';
import { Lines } from './lines.ts';
import { Reading } from './reading.ts';
import { ThroughDesk } from './through-desk.ts';
import { WriteOffice } from './write-office.ts';
import type { AcceptedWrite, OfferedRequest } from './write-desk.ts';

export interface WritesDependencies {
  readonly config: Config;
  readonly state: StateStore;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly log: Log;
}

type WriteCalls = Pick<
  Handlers<CoordinatorCalls>,
  'admitThrough' | 'abandonThrough' | 'settleThrough' | 'acceptWrite' | 'readPending'
>;

/** Origins that a reload has replaced may finish what they do. */
const ORIGIN_GRACE_MS = 60_000;

/** All that the coordinator does about writes. */
export class Writes {
  /** What operators see and do. */
  readonly office: WriteOffice;
  readonly #deps: WritesDependencies;
  readonly #lines: Lines;
  readonly #lingering: LingeringHolds;
  readonly #journal: Journal;
  readonly #deliveries: Deliveries;
  readonly #reading: Reading;
  readonly #desk: ThroughDesk;
  #config: Config;
  #origins: Origin[] = [];
  #merged = 0;
  #accepted = 0;

  private constructor(deps: WritesDependencies) {
    this.#deps = deps;
    this.#config = deps.config;
    this.#lines = new Lines(
      {
        first: (line) => this.#journal.tables.first(line)?.order ?? null,
        last: (line) => this.#journal.tables.last(line)?.order ?? null,
      },
      (line) => this.#deliveries.freed(line),
    );
    this.#lingering = new LingeringHolds({ ...deps, lines: () => this.#lines });
    this.#journal = new Journal({
      ...deps,
      lingering: this.#lingering,
      limits: () => this.#config.journal,
      hasWaitingBehind: (line) => this.#lines.hasWaiting(line),
    });
    const moved = (line: LineKey): void => {
      this.#lines.journalMoved(line);
      this.#reading.moved(line);
    };
    this.#deliveries = new Deliveries({
      ...deps,
      journal: this.#journal,
      lines: this.#lines,
      random: Math.random,
      moved,
    });
    this.#reading = new Reading(this.#journal, this.#lingering);
    this.#desk = new ThroughDesk({ ...deps, lines: this.#lines, lingering: this.#lingering });
    this.office = new WriteOffice({
      journal: this.#journal,
      deliveries: this.#deliveries,
      log: deps.log,
      clock: deps.clock,
      moved,
      counts: () => ({
        accepted: this.#accepted,
        merged: this.#merged,
        through: this.#desk.running,
        lingering: this.#lingering.size,
      }),
    });
  }

  /** Takes over what earlier runs left. To be called before any reader is there. */
  static async open(deps: WritesDependencies): Promise<Writes> {
    const writes = new Writes(deps);
    writes.#journal.restoreHolds();
    await writes.#lingering.restore();
    return writes;
  }

  /** Delivers by this configuration from now on. `origins` are its own, as they are reached. */
  configure(config: Config, origins: readonly OriginConfig[], board: OriginBoard): void {
    const { clock } = this.#deps;
    const before = this.#origins;
    this.#config = config;
    const targets = new Map<string, DeliveryOrigin>();
    this.#origins = origins.map((configured) => {
      const { name } = configured;
      const breaker = board.breakerOf(configured);
      const origin = createHttpOrigin(forDeliveries(config, configured), {
        clock,
        breaker,
        isWell: (url) => board.isWell(name, url),
      });
      targets.set(name, { origin, openUntilMs: () => breaker?.openUntilMs ?? 0 });
      return origin;
    });
    this.#deliveries.configure(config, targets);
    for (const origin of before) void origin.close(ORIGIN_GRACE_MS);
  }

  /** `instance` is the worker's. */
  callsOf(instance: number): WriteCalls {
    return {
      admitThrough: (request) => this.#desk.admit(instance, request),
      abandonThrough: ({ ticket }) => this.#desk.abandon(instance, ticket),
      settleThrough: (end) => this.#desk.settle(end),
      acceptWrite: (request) => this.#accept(request),
      readPending: ({ line, mode, waitMs }) => this.#reading.read(lineKeyOf(line), mode, waitMs),
    };
  }

  /** What the worker had under way has an unknown outcome. */
  workerDied(instance: number): void {
    this.#desk.workerDied(instance);
  }

  /** Begins no delivery more; resolves when those under way are written down. What is not delivered stays. */
  async close(): Promise<void> {
    const closing = this.#deliveries.close();
    await Promise.all(this.#origins.map((origin) => origin.close(STOP_GRACE_MS)));
    await closing;
    this.#lingering.close();
  }

  async #accept({ line, waitMs, ...offered }: OfferedRequest): Promise<AcceptedWrite> {
    const key = lineKeyOf(line);
    const acceptance = await this.#journal.accept({
      ...offered,
      origin: line.origin,
      target: line.target,
      line: key,
    });
    switch (acceptance.kind) {
      case 'accepted': {
        this.#accepted += 1;
        if (acceptance.merged !== null) this.#merged += 1;
        this.#deps.log.info({
          event: 'write-accepted',
          write: acceptance.id,
          method: offered.method,
          origin: line.origin,
          ...(acceptance.merged === null ? {} : { merged: acceptance.merged }),
        });
        this.#deliveries.accepted(line.origin);
        return this.#answered(acceptance, waitMs);
      }
      case 'repeated': {
        const isWaiting = this.#journal.tables.record('waiting', acceptance.number) !== null;
        return this.#answered(acceptance, isWaiting ? waitMs : 0);
      }
      case 'mismatch':
      case 'full':
      case 'not-durable':
        return acceptance;
      default:
        return acceptance satisfies never;
    }
  }

  async #answered({ number, id }: { readonly number: number; readonly id: string }, waitMs: number) {
    const answer = waitMs === 0 ? null : await this.#deliveries.answerTo(number, waitMs);
    return { kind: 'accepted', id, answer } as const;
  }
}

const STOP_GRACE_MS = 5_000;

/** As many connections as deliveries; none waits long for one. */
function forDeliveries(config: Config, origin: OriginConfig): OriginConfig {
  const { deliveries } = config.journal;
  return {
    ...origin,
    connections: Math.min(origin.connections, deliveries),
    queue: { size: deliveries, timeoutMs: Math.max(60_000, origin.queue.timeoutMs) },
  };
}

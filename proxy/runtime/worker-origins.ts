import { createHttpOrigin } from '../../origin-adapters/http-origin.ts';
import type { Origin, OriginStats } from '../../origin-adapters/origin.ts';
import { workerConnections } from '../origins/connection-shares.ts';
import { FailureReports, type OriginReports } from '../origins/failure-reports.ts';
import { OriginCells } from '../origins/origin-cells.ts';
import { OriginCounters } from '../origins/origin-counters.ts';
import type { Clock } from '../threads/clock.ts';
import type { RuntimeConfigurationSource, WorkerStart } from './calls.ts';

export interface WorkerOriginsDependencies {
  readonly start: Pick<WorkerStart, 'index' | 'workers'>;
  readonly clock: Clock;
  /** Receives failures and recoveries of origins; if absent, they are not reported. */
  originReports?(reports: OriginReports): void;
  /** Creates an HTTP origin, unless a test passes its own. */
  readonly createOrigin?: typeof createHttpOrigin;
}

/** An origin that a reload has replaced gets no new requests after this time, and then the same time to finish. */
const ORIGIN_GRACE_MS = 60_000;

/** A worker's origins. A reload replaces those whose configuration has changed. */
export class WorkerOrigins {
  readonly #deps: WorkerOriginsDependencies;
  readonly #reports: FailureReports;
  /** Counts requests to origins, including origins that a reload has replaced. */
  readonly #asked = new OriginCounters();
  #origins = new Map<string, { readonly source: string; readonly origin: Origin }>();

  constructor(deps: WorkerOriginsDependencies) {
    this.#deps = deps;
    this.#reports = new FailureReports(deps.clock, (reports) => this.#deps.originReports?.(reports));
  }

  /** Returns the origins of this configuration by name. */
  reload({ config, demoUrls, originCells }: RuntimeConfigurationSource): ReadonlyMap<string, Origin> {
    const cells = new OriginCells(originCells);
    const before = this.#origins;
    this.#origins = new Map(
      Object.values(config.origins).map((origin) => {
        const urls = origin.urls.map((url) => (url === 'demo:' ? demoUrls[origin.name]! : url));
        // Clients spread unevenly over workers, so a divided queue would refuse requests while other workers have room.
        const share = { ...origin, urls, connections: workerConnections(config, origin, this.#deps.start) };
        const text = JSON.stringify([share, originCells.generation]);
        const same = before.get(origin.name);
        if (same?.source === text) return [origin.name, same];
        const { clock, createOrigin = createHttpOrigin } = this.#deps;
        const created = createOrigin(share, {
          clock,
          breaker: cells.breakerOf(origin),
          isHealthy: (url) => cells.isHealthy(origin.name, url),
          observer: this.#reports.observerOf(origin.name, cells),
        });
        this.#asked.add(origin.name, created);
        return [origin.name, { source: text, origin: created }];
      }),
    );
    for (const [name, old] of before) {
      if (this.#origins.get(name) !== old) this.#leave(old.origin);
    }
    return new Map([...this.#origins].map(([name, { origin }]) => [name, origin]));
  }

  stats(): Readonly<Record<string, OriginStats>> {
    return Object.fromEntries([...this.#origins.keys()].map((name) => [name, this.#asked.of(name)]));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#origins.values()].map(({ origin }) => origin.close(0)));
  }

  /** Ends a replaced origin late, because requests from before the reload may still wait in its queue. */
  #leave(origin: Origin): void {
    setTimeout(() => void this.#asked.end(origin, ORIGIN_GRACE_MS), ORIGIN_GRACE_MS).unref();
  }
}

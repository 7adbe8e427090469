import type { OriginConfig } from '../../policies/config/config.ts';
import { createHttpOrigin } from '../../origin-adapters/http-origin.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import type { Clock } from '../threads/clock.ts';
import type { Log } from '../observability/logger.ts';
import type { OriginCells } from './origin-cells.ts';
import type { OriginCounters } from './origin-counters.ts';

export interface HealthChecksDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly cells: OriginCells;
  readonly asked: OriginCounters;
}

/** Sends the health checks of each origin's URLs and writes the results to the shared cells. */
export class HealthChecks {
  readonly #asked: OriginCounters;
  readonly #origins: Origin[] = [];
  readonly #timers: NodeJS.Timeout[] = [];

  /** Checks `config.urls`; an origin without `health` is not checked. */
  constructor(configs: readonly OriginConfig[], deps: HealthChecksDependencies) {
    this.#asked = deps.asked;
    for (const config of configs) {
      if (config.health === null) continue;
      config.urls.forEach((url, place) => this.#watch(config, url, place, deps));
    }
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const origin of this.#origins) void this.#asked.end(origin, 0);
  }

  #watch(
    config: OriginConfig,
    url: string,
    place: number,
    { clock, log, cells, asked }: HealthChecksDependencies,
  ): void {
    const { path, intervalMs } = config.health!;
    const timeouts = { connectMs: intervalMs, headersMs: intervalMs, bodyMs: intervalMs };
    const single = { ...config, urls: [url], connections: 1, retry: 0, timeouts };
    const origin = createHttpOrigin(single, { clock });
    asked.add(config.name, origin);
    let isAsking = false;
    const ask = (): void => {
      if (isAsking) return;
      isAsking = true;
      void faultOf(origin, path).then((fault) => {
        isAsking = false;
        const isHealthy = fault === null;
        if (isHealthy === cells.isHealthy(config.name, place)) return;
        cells.setHealthy(config.name, place, isHealthy);
        if (isHealthy) log.info({ event: 'origin-healthy', origin: config.name, url });
        else log.warn({ event: 'origin-unhealthy', origin: config.name, url, path, cause: fault });
      });
    };
    this.#origins.push(origin);
    this.#timers.push(setInterval(ask, intervalMs));
    ask();
  }
}

/** Null: the URL is healthy (any status below 400); otherwise the reason of the failure. */
function faultOf(origin: Origin, path: string): Promise<string | null> {
  return new Promise((resolve) => {
    let status = 0;
    origin.send(
      { method: 'GET', path, fields: [], body: null, priority: 'background', unboundedBody: false },
      {
        onInformational: () => {},
        onHead: (answered) => {
          status = answered;
        },
        onData: () => {},
        onEnd: () => resolve(status < 400 ? null : `the URL responded with ${status}`),
        onFailure: ({ message }) => resolve(message),
      },
    );
  });
}

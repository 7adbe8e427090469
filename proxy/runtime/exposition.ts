/** Weir's metrics in the Prometheus text format, read from counters and stats when they are asked for. */
import { collectDefaultMetrics, Registry, type Metric } from 'prom-client';
import { METRICS } from './metric-definitions.ts';
import type { MetricReading, Sample } from './metrics/definition.ts';
import type { WeirStats } from './stats.ts';
import type { RouteCounters } from '../observability/route-counters.ts';

export interface Exposition {
  /** Returns the metrics in version 0.0.4 of the text format. Rejects if the stats are not available. */
  text(): Promise<string>;
}

/** Default gauges with a counter's suffix `_total`. Each sums a gauge by type, which is kept. */
const MISNAMED_SUMS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

export function createExposition(sources: {
  readonly counters: RouteCounters;
  stats(): Promise<WeirStats>;
}): Exposition {
  const registry = new Registry();
  let reading: MetricReading;
  for (const { name, type, help, samples } of METRICS) {
    registry.registerMetric(asMetric({ name, type, help, get: async () => samples(reading) }));
  }
  // Process metrics: processor time, memory, event loop and garbage collection.
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED_SUMS) registry.removeSingleMetric(name);
  return {
    async text() {
      const stats = await sources.stats();
      reading = { stats, routes: sources.counters.read() };
      return registry.metrics();
    },
  };
}

interface Read {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  get(): Promise<readonly Sample[]>;
}

/** A registry uses only the name of a metric and its `get` at each scrape. */
function asMetric({ name, type, help, get }: Read): Metric {
  const metric = {
    name,
    get: async () => ({ name, type, help, aggregator: 'sum', values: await get() }),
  };
  return metric as unknown as Metric;
}

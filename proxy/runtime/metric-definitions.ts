/** All of Weir's metrics, in the order of their exposition. `docs/metrics.md` has the same names and texts. */
import type { MetricDefinition } from './metrics/definition.ts';
import { FEED_METRICS } from './metrics/feeds.ts';
import { FENCE_METRICS } from './metrics/fence.ts';
import { FLIGHT_METRICS } from './metrics/flights.ts';
import { ORIGIN_METRICS } from './metrics/origins.ts';
import { PROCESS_METRICS } from './metrics/process.ts';
import { REQUEST_METRICS } from './metrics/requests.ts';
import { STORE_METRICS } from './metrics/store.ts';
import { WRITE_METRICS } from './metrics/writes.ts';

export const METRICS: readonly MetricDefinition[] = [
  ...REQUEST_METRICS,
  ...PROCESS_METRICS,
  ...STORE_METRICS,
  ...FENCE_METRICS,
  ...FLIGHT_METRICS,
  ...ORIGIN_METRICS,
  ...WRITE_METRICS,
  ...FEED_METRICS,
];

import type { WeirStats } from '../stats.ts';
import { counter, gauge, type MetricDefinition, type Sample } from './definition.ts';

export const ORIGIN_METRICS: readonly MetricDefinition[] = [
  gauge(
    'weir_origin_running',
    'Requests in progress at the origin',
    eachOrigin(({ running }) => running),
  ),
  gauge(
    'weir_origin_queued',
    'Requests that wait for a connection',
    eachOrigin(({ queued }) => queued),
  ),
  counter(
    'weir_origin_requests_total',
    'Requests to the origin, including deliveries and health checks',
    eachOrigin(({ requests }) => requests),
  ),
  counter(
    'weir_origin_failures_total',
    'Requests that failed',
    eachOrigin(({ failures }) => failures),
  ),
  counter(
    'weir_origin_retries_total',
    'Requests sent again',
    eachOrigin(({ retries }) => retries),
  ),
  counter(
    'weir_origin_abandoned_total',
    'Requests whose connection was closed because the client had left',
    eachOrigin(({ abandoned }) => abandoned),
  ),
  gauge(
    'weir_origin_well',
    '1: the URL (by its place in the configuration) answered its last health check',
    ({ originWell }) =>
      Object.entries(originWell).flatMap(([origin, urls]) =>
        urls.map((well, url) => ({ value: Number(well), labels: { origin, url } })),
      ),
  ),
  gauge('weir_origin_open', '1: the breaker is open', ({ originOpen }) =>
    Object.entries(originOpen).map(([origin, open]) => ({ value: Number(open), labels: { origin } })),
  ),
];

function eachOrigin(value: (origin: WeirStats['origins'][string]) => number) {
  return ({ origins }: WeirStats): Sample[] =>
    Object.entries(origins).map(([name, stats]) => ({ value: value(stats), labels: { origin: name } }));
}

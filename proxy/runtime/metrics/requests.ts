import type { RouteCounts } from '../../observability/route-counters.ts';
import { histogramSamples, type MetricDefinition, type MetricReading, type Sample } from './definition.ts';

/** The metrics of requests by route. */
export const REQUEST_METRICS: readonly MetricDefinition[] = [
  {
    name: 'weir_requests_total',
    type: 'counter',
    help: 'Requests by route, outcome and reason',
    samples: ({ routes }) =>
      eachRoute(routes, (route, { requests }) =>
        [...requests].flatMap(([outcome, reasons]) =>
          [...reasons].map(([reason, value]) => ({ value, labels: { route, outcome, reason } })),
        ),
      ),
  },
  {
    name: 'weir_response_bytes_total',
    type: 'counter',
    help: 'Bytes of content sent to clients, by route and outcome',
    samples: ({ routes }) =>
      eachRoute(routes, (route, { bytes }) =>
        [...bytes].map(([outcome, value]) => ({ value, labels: { route, outcome } })),
      ),
  },
  {
    name: 'weir_responses_total',
    type: 'counter',
    help: 'Responses by route and class of status',
    samples: ({ routes }) =>
      eachRoute(routes, (route, { responses }) =>
        [...responses].map(([status, value]) => ({ value, labels: { route, status } })),
      ),
  },
  {
    name: 'weir_request_duration_seconds',
    type: 'histogram',
    help: 'Time from the request to the end of the response; hit: without asking the origin, miss: after asking it',
    samples: ({ routes }) =>
      eachRoute(routes, (route, { hit, miss }) => [
        ...histogramSamples('weir_request_duration_seconds', { route, kind: 'hit' }, hit),
        ...histogramSamples('weir_request_duration_seconds', { route, kind: 'miss' }, miss),
      ]),
  },
  {
    name: 'weir_origin_duration_seconds',
    type: 'histogram',
    help: "Time from the request to the origin until its response's head",
    samples: ({ routes }) =>
      eachRoute(routes, (route, { origin }) =>
        histogramSamples('weir_origin_duration_seconds', { route }, origin),
      ),
  },
];

function eachRoute(
  routes: MetricReading['routes'],
  samples: (route: string, counts: RouteCounts) => Sample[],
): Sample[] {
  return [...routes].flatMap(([route, counts]) => samples(route, counts));
}

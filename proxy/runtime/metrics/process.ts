import { counter, gauge, type MetricDefinition, one } from './definition.ts';

/** The metrics of the process, its workers, and requests that were refused or cut. */
export const PROCESS_METRICS: readonly MetricDefinition[] = [
  gauge('weir_info', 'Always 1; the version is its label', ({ version }) => [
    { value: 1, labels: { version } },
  ]),
  gauge('weir_uptime_seconds', 'Seconds since the start', ({ uptimeSeconds }) => one(uptimeSeconds)),
  gauge('weir_workers', 'Running workers', ({ workers }) => one(workers.running)),
  counter('weir_workers_replaced_total', 'Workers that died and were replaced', ({ workers }) =>
    one(workers.replaced),
  ),
  gauge('weir_connections', 'Open client connections', ({ connections }) => one(connections)),
  counter(
    'weir_request_fields_dropped_total',
    'Request fields that listen.underscores dropped',
    ({ requests }) => one(requests.droppedFields),
  ),
  counter(
    'weir_requests_too_slow_total',
    'Requests cut because a part was too slow: head, content (body-rate), total, or answer (the client did not read it)',
    ({ requests }) => Object.entries(requests.tooSlow).map(([part, value]) => ({ value, labels: { part } })),
  ),
  counter(
    'weir_admin_refused_total',
    'Requests that an access rule of the admin side refused: foreign-host, foreign-page, not-json, token',
    ({ admin }) => Object.entries(admin.refused).map(([reason, value]) => ({ value, labels: { reason } })),
  ),
  gauge('weir_process_anonymous_bytes', 'Memory of heaps, buffers and tables', ({ process }) =>
    process.anonymousBytes === null ? [] : one(process.anonymousBytes),
  ),
  gauge(
    'weir_process_resident_bytes',
    'Resident memory, with pages of files such as the cache on disk',
    ({ process }) => one(process.rssBytes),
  ),
];

import { bucketSamples, counter, gauge, type MetricDefinition, one } from './definition.ts';

/** The metrics of the journal's writes and of holds. */
export const WRITE_METRICS: readonly MetricDefinition[] = [
  gauge(
    'weir_writes',
    'Writes of the journal, by state: waiting, dead, done',
    ({ writes: { waiting, dead, done } }) =>
      Object.entries({ waiting, dead, done }).map(([state, value]) => ({ value, labels: { state } })),
  ),
  gauge('weir_writes_bytes', 'Bytes of waiting and dead writes', ({ writes }) => one(writes.bytes)),
  gauge('weir_writes_oldest_seconds', 'Seconds since the oldest waiting write was accepted', ({ writes }) =>
    one(writes.oldestSeconds),
  ),
  gauge('weir_writes_delivering', 'Writes of the journal being sent to an origin', ({ writes }) =>
    one(writes.delivering),
  ),
  gauge('weir_writes_through', 'Writes through being sent to an origin', ({ writes }) => one(writes.through)),
  gauge(
    'weir_writes_lingering',
    'Holds that outlast their write: the outcome is unknown, or the read lag has not passed',
    ({ writes }) => one(writes.lingering),
  ),
  gauge(
    'weir_writes_held',
    'Writes in progress or of unknown outcome that count against writes.held',
    ({ writes }) => one(writes.held),
  ),
  counter(
    'weir_writes_refused_total',
    'Writes refused because too many are held, by bound: client, all',
    ({ writes }) => Object.entries(writes.refused).map(([bound, value]) => ({ value, labels: { bound } })),
  ),
  counter('weir_writes_accepted_total', 'Writes acknowledged', ({ writes }) => one(writes.accepted)),
  counter('weir_writes_delivered_total', 'Writes that were delivered', ({ writes }) => one(writes.delivered)),
  counter('weir_writes_retries_total', 'Attempts that were repeated', ({ writes }) => one(writes.retries)),
  counter('weir_writes_dead_total', 'Writes given up', ({ writes }) => one(writes.givenUp)),
  counter('weir_writes_merged_total', 'Writes merged into a later one', ({ writes }) => one(writes.merged)),
  {
    name: 'weir_write_delivery_seconds',
    type: 'histogram',
    help: 'Time from the acknowledgement of a write to its delivery',
    samples: ({ stats: { writes } }) =>
      bucketSamples('weir_write_delivery_seconds', {}, writes.seconds.bounds, {
        buckets: writes.seconds.buckets,
        sumSeconds: writes.seconds.sum,
      }),
  },
];

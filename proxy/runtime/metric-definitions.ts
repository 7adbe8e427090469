/** All of Weir's metrics: name, help text and how each is read. `docs/metrics.md` has the same names and texts. */
import { secondsOf } from '../threads/clock.ts';
import { FEED_STATES } from '../feeds/sink.ts';
import { BOUNDS_SECONDS } from '../observability/request-cells.ts';
import type { WeirStats } from './stats.ts';
import type { CountsByRoute, HistogramCounts, RouteCounts } from '../observability/route-counters.ts';

export interface MetricReading {
  readonly stats: WeirStats;
  readonly routes: CountsByRoute;
}

export interface MetricDefinition {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  samples(reading: MetricReading): Sample[];
}

export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** The sample's name if it differs from the metric's, as for the parts of a histogram. */
  readonly metricName?: string;
}

export const METRICS: readonly MetricDefinition[] = [
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
  gauge('weir_memory_bytes', 'Bytes that entries take in memory', ({ memory }) => one(memory.bytes)),
  gauge('weir_memory_limit_bytes', 'Bytes that entries may take in memory', ({ memory }) =>
    one(memory.limitBytes),
  ),
  gauge(
    'weir_memory_entries',
    'Entries in memory; an entry in several workers counts several times',
    ({ memory }) => one(memory.entries),
  ),
  counter('weir_memory_evictions_total', 'Entries evicted to make room', ({ memory }) =>
    one(memory.evictions),
  ),
  counter('weir_memory_variant_evictions_total', 'Variants evicted beyond max-variants', ({ memory }) =>
    one(memory.variantEvictions),
  ),

  gauge(
    'weir_disk_bytes',
    'Content bytes of the entries on disk',
    onDisk(({ bytes }) => bytes),
  ),
  gauge(
    'weir_disk_used_bytes',
    'Bytes in use in the file',
    onDisk(({ usedBytes }) => usedBytes),
  ),
  gauge(
    'weir_disk_limit_bytes',
    'Bytes that may be in use in the file',
    onDisk(({ limitBytes }) => limitBytes),
  ),
  gauge(
    'weir_disk_entries',
    'Entries on disk',
    onDisk(({ entries }) => entries),
  ),
  counter(
    'weir_disk_evictions_total',
    'Entries evicted to make room',
    onDisk(({ evictions }) => evictions),
  ),
  counter(
    'weir_disk_variant_evictions_total',
    'Variants evicted beyond max-variants',
    onDisk(({ variantsRemoved }) => variantsRemoved),
  ),
  counter(
    'weir_disk_promotions_total',
    'Entries copied from disk to memory',
    onDisk(({ promotions }) => promotions),
  ),
  counter(
    'weir_disk_refused_total',
    'Responses that the disk tier did not store, for example because it had no room',
    onDisk(({ refused }) => refused),
  ),
  counter(
    'weir_disk_corrupt_total',
    'Records that failed their checksum',
    onDisk(({ corrupt }) => corrupt),
  ),
  counter(
    'weir_disk_discarded_total',
    'Entries removed because their content was missing or failed its checksum',
    onDisk(({ discarded }) => discarded),
  ),
  counter(
    'weir_disk_full_errors_total',
    'Times that the file system was full or failed',
    onDisk(({ fullErrors }) => fullErrors),
  ),
  gauge(
    'weir_disk_storing',
    '1: responses are stored on disk; 0: the file system is full or failed',
    onDisk(({ storing }) => Number(storing === 'on')),
  ),
  gauge(
    'weir_disk_evict_last_full',
    '1: entries of routes with evict: last leave no room for others',
    onDisk(({ evictLastFull }) => Number(evictLastFull)),
  ),

  gauge('weir_fence_sequence', 'The last sequence in force', ({ fence }) => one(fence.sequence)),
  gauge('weir_fence_durable_sequence', 'The last sequence that is synced to disk', ({ fence }) =>
    one(fence.durableSequence),
  ),
  gauge('weir_fence_holds', 'Tags held by writes', ({ fence }) => one(fence.holds)),
  counter('weir_fence_invalidations_total', 'Invalidations', ({ fence }) => one(fence.invalidations)),
  counter('weir_fence_overflows_total', 'Records evicted from a full bucket', ({ fence }) =>
    one(fence.overflows),
  ),
  counter('weir_fence_failures_total', 'Invalidations that could not be made durable', ({ fence }) =>
    one(fence.failures),
  ),
  gauge('weir_fence_failing', '1: the last write to the state failed', ({ fence }) =>
    one(Number(fence.isFailing)),
  ),

  gauge('weir_flights', 'Running flights', ({ flights }) => one(flights.running)),
  gauge('weir_flights_waiting', 'Requests that wait for a flight', ({ flights }) => one(flights.waiting)),
  counter('weir_flights_total', 'Flights that asked the origin', ({ flights }) => one(flights.asked)),
  counter('weir_flights_collapsed_total', "Requests answered by another request's flight", ({ flights }) =>
    one(flights.collapsed),
  ),
  counter(
    'weir_flights_outrun_total',
    'Requests that moved from a flight to a later one, because of an invalidation before they arrived',
    ({ flights }) => one(flights.outrun),
  ),
  counter(
    'weir_flights_alone_total',
    'Flights that no other request could join, because responses were private to one client',
    ({ flights }) => one(flights.alone),
  ),
  counter(
    'weir_flights_failing_total',
    "Requests answered with the origin's failure at another request",
    ({ flights }) => one(flights.failing),
  ),
  counter(
    'weir_flights_tags_left_out_total',
    'Entity tags that max-conditions and max-condition-tags kept out of requests',
    ({ flights }) => one(flights.tagsLeftOut),
  ),
  counter(
    'weir_flights_conditions_refused_total',
    'Requests sent again without conditions, because the origin refused them with conditions',
    ({ flights }) => one(flights.conditionsRefused),
  ),
  counter('weir_flights_refused_total', 'Requests refused because too many wait for flights', ({ flights }) =>
    one(flights.refused),
  ),

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

  gauge('weir_feed_live', '1: proved to be at its head within max-silence', ({ feeds }) =>
    feeds.map(({ id, state }) => ({ value: Number(state === 'live'), labels: { feed: id } })),
  ),
  gauge('weir_feed_state', "1 for the feed's state: live, catching-up or lost", ({ feeds }) =>
    feeds.flatMap(({ id, state }) =>
      FEED_STATES.map((each) => ({ value: Number(each === state), labels: { feed: id, state: each } })),
    ),
  ),
  {
    name: 'weir_feed_delay_seconds',
    type: 'histogram',
    help: 'Time from the commit of a change (or its receipt) until it was in force and durable',
    samples: ({ stats }) =>
      stats.feeds.flatMap(({ id, delays }) =>
        histogramSamples('weir_feed_delay_seconds', { feed: id }, delays),
      ),
  },
  gauge(
    'weir_feed_silence_seconds',
    'Seconds since the last proof that the feed is at its head; absent: never',
    eachFeed(({ silenceMs }) => (Number.isFinite(silenceMs) ? secondsOf(silenceMs) : null)),
  ),
  gauge(
    'weir_feed_behind',
    "Events that wait at the feed's server, if the feed reports them",
    eachFeed(({ behind }) => behind),
  ),
  counter(
    'weir_feed_changes_total',
    'Changes applied',
    eachFeed(({ changes }) => changes),
  ),
  counter(
    'weir_feed_invalidations_total',
    'Invalidations by the feed',
    eachFeed(({ invalidations }) => invalidations),
  ),
  counter(
    'weir_feed_gaps_total',
    'Places where something may have been missed',
    eachFeed(({ gaps }) => gaps),
  ),
  counter(
    'weir_feed_unmapped_total',
    'Changes that no entry of the map matched',
    eachFeed(({ unmapped }) => unmapped),
  ),
  counter(
    'weir_feed_unintelligible_total',
    'Messages that could not be understood',
    eachFeed(({ unintelligible }) => unintelligible),
  ),
  counter(
    'weir_feed_incomplete_total',
    'Transactions that lack a value that a template needs, or name more than 100,000 tags',
    eachFeed(({ incomplete }) => incomplete),
  ),
  counter(
    'weir_feed_failures_total',
    'Connections refused or lost',
    eachFeed(({ failures }) => failures),
  ),
];

function gauge(name: string, help: string, samples: (stats: WeirStats) => Sample[]): MetricDefinition {
  return { name, type: 'gauge', help, samples: ({ stats }) => samples(stats) };
}

function counter(name: string, help: string, samples: (stats: WeirStats) => Sample[]): MetricDefinition {
  return { name, type: 'counter', help, samples: ({ stats }) => samples(stats) };
}

function one(value: number): Sample[] {
  return [{ value, labels: {} }];
}

/** Gives no sample if there is no disk tier. */
function onDisk(value: (disk: NonNullable<WeirStats['disk']>) => number) {
  return ({ disk }: WeirStats): Sample[] => (disk === null ? [] : one(value(disk)));
}

function eachOrigin(value: (origin: WeirStats['origins'][string]) => number) {
  return ({ origins }: WeirStats): Sample[] =>
    Object.entries(origins).map(([name, stats]) => ({ value: value(stats), labels: { origin: name } }));
}

/** `value` returns null for a feed that does not know it. */
function eachFeed(value: (feed: WeirStats['feeds'][number]) => number | null) {
  return ({ feeds }: WeirStats): Sample[] =>
    feeds.flatMap((feed) => {
      const read = value(feed);
      return read === null ? [] : [{ value: read, labels: { feed: feed.id } }];
    });
}

function eachRoute(
  routes: MetricReading['routes'],
  samples: (route: string, counts: RouteCounts) => Sample[],
): Sample[] {
  return [...routes].flatMap(([route, counts]) => samples(route, counts));
}

function histogramSamples(name: string, labels: Sample['labels'], counts: HistogramCounts): Sample[] {
  return bucketSamples(name, labels, BOUNDS_SECONDS, counts);
}

/** Cumulative buckets, as the format requires; no samples if nothing was counted. */
function bucketSamples(
  name: string,
  labels: Sample['labels'],
  bounds: readonly number[],
  counts: Pick<HistogramCounts, 'buckets' | 'sumSeconds'>,
): Sample[] {
  let count = 0;
  const buckets = counts.buckets.map((bucket, i) => {
    count += bucket;
    const le = i < bounds.length ? bounds[i]! : '+Inf';
    return { value: count, labels: { le, ...labels }, metricName: `${name}_bucket` };
  });
  if (count === 0) return [];
  return [
    ...buckets,
    { value: counts.sumSeconds, labels, metricName: `${name}_sum` },
    { value: count, labels, metricName: `${name}_count` },
  ];
}

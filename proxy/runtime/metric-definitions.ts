/** All of Weir's metrics: name, help text and how each is read. `docs/metrics.md` lists them for users. */
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
    help: 'From the request to the end of the response: hit without asking the origin, miss after it',
    samples: ({ routes }) =>
      eachRoute(routes, (route, { hit, miss }) => [
        ...histogramSamples('weir_request_duration_seconds', { route, kind: 'hit' }, hit),
        ...histogramSamples('weir_request_duration_seconds', { route, kind: 'miss' }, miss),
      ]),
  },
  {
    name: 'weir_origin_duration_seconds',
    type: 'histogram',
    help: "From a request to the origin to its response's head, by route",
    samples: ({ routes }) =>
      eachRoute(routes, (route, { origin }) =>
        histogramSamples('weir_origin_duration_seconds', { route }, origin),
      ),
  },

  gauge('weir_info', 'Always 1; the version is its label', ({ version }) => [
    { value: 1, labels: { version } },
  ]),
  gauge('weir_uptime_seconds', 'Since the start', ({ uptimeSeconds }) => one(uptimeSeconds)),
  gauge('weir_workers', 'Workers that run', ({ workers }) => one(workers.running)),
  counter('weir_workers_replaced_total', 'Workers that died and were replaced', ({ workers }) =>
    one(workers.replaced),
  ),
  gauge('weir_connections', 'Open connections of clients', ({ connections }) => one(connections)),

  counter(
    'weir_request_fields_dropped_total',
    'Fields of requests that listen.underscores has left out',
    ({ requests }) => one(requests.droppedFields),
  ),
  counter(
    'weir_requests_too_slow_total',
    'Requests cut, for a part of them did not get on: head, content, total, or the answer that was not read',
    ({ requests }) => Object.entries(requests.tooSlow).map(([part, value]) => ({ value, labels: { part } })),
  ),
  counter(
    'weir_admin_refused_total',
    'Requests to the admin side refused by a rule of access, by reason',
    ({ admin }) => Object.entries(admin.refused).map(([reason, value]) => ({ value, labels: { reason } })),
  ),

  gauge('weir_process_anonymous_bytes', 'Memory of heaps, buffers and tables in use', ({ process }) =>
    process.anonymousBytes === null ? [] : one(process.anonymousBytes),
  ),
  gauge(
    'weir_process_resident_bytes',
    'The same with pages of files, the cache on disk among them',
    ({ process }) => one(process.rssBytes),
  ),
  gauge('weir_memory_bytes', 'Bytes that entries take in memory', ({ memory }) => one(memory.bytes)),
  gauge('weir_memory_limit_bytes', 'Bytes that they may take', ({ memory }) => one(memory.limitBytes)),
  gauge('weir_memory_entries', 'Entries in memory, each as often as it stands in a worker', ({ memory }) =>
    one(memory.entries),
  ),
  counter('weir_memory_evictions_total', 'Entries that went to make room', ({ memory }) =>
    one(memory.evictions),
  ),
  counter('weir_memory_variant_evictions_total', 'Variants beyond max-variants', ({ memory }) =>
    one(memory.variantEvictions),
  ),

  gauge(
    'weir_disk_bytes',
    'Content bytes of the entries on disk',
    onDisk(({ bytes }) => bytes),
  ),
  gauge(
    'weir_disk_used_bytes',
    'Bytes of the file that are in use',
    onDisk(({ usedBytes }) => usedBytes),
  ),
  gauge(
    'weir_disk_limit_bytes',
    'Bytes that it may use',
    onDisk(({ limitBytes }) => limitBytes),
  ),
  gauge(
    'weir_disk_entries',
    'Entries on disk',
    onDisk(({ entries }) => entries),
  ),
  counter(
    'weir_disk_evictions_total',
    'Entries that went to make room',
    onDisk(({ evictions }) => evictions),
  ),
  counter(
    'weir_disk_variant_evictions_total',
    'Variants beyond max-variants',
    onDisk(({ variantsRemoved }) => variantsRemoved),
  ),
  counter(
    'weir_disk_promotions_total',
    'Entries taken into memory',
    onDisk(({ promotions }) => promotions),
  ),
  counter(
    'weir_disk_refused_total',
    'Whole responses that were not stored',
    onDisk(({ refused }) => refused),
  ),
  counter(
    'weir_disk_corrupt_total',
    'Records that failed their checksum',
    onDisk(({ corrupt }) => corrupt),
  ),
  counter(
    'weir_disk_discarded_total',
    'Entries removed because content of theirs was missing or failed its checksum',
    onDisk(({ discarded }) => discarded),
  ),
  counter(
    'weir_disk_full_errors_total',
    'Times that the file system had no room or failed',
    onDisk(({ fullErrors }) => fullErrors),
  ),
  gauge(
    'weir_disk_storing',
    '1: what is fetched is stored on disk; 0: the file system has no room or failed',
    onDisk(({ storing }) => Number(storing === 'on')),
  ),
  gauge(
    'weir_disk_evict_last_full',
    '1: entries of routes with evict: last leave no room for others',
    onDisk(({ evictLastFull }) => Number(evictLastFull)),
  ),

  gauge('weir_fence_sequence', 'The last sequence in force', ({ fence }) => one(fence.sequence)),
  gauge('weir_fence_durable_sequence', 'The last sequence that is synced', ({ fence }) =>
    one(fence.durableSequence),
  ),
  gauge('weir_fence_holds', 'Tags that writes under way hold', ({ fence }) => one(fence.holds)),
  counter('weir_fence_invalidations_total', 'Invalidations', ({ fence }) => one(fence.invalidations)),
  counter('weir_fence_overflows_total', 'Records that had to make room in a full bucket', ({ fence }) =>
    one(fence.overflows),
  ),
  counter('weir_fence_failures_total', 'Invalidations that could not be made durable', ({ fence }) =>
    one(fence.failures),
  ),
  gauge('weir_fence_failing', '1: the state could not be written when it was last tried', ({ fence }) =>
    one(Number(fence.isFailing)),
  ),

  gauge('weir_flights', 'Flights that run', ({ flights }) => one(flights.running)),
  gauge('weir_flights_waiting', 'Requests that wait for a flight', ({ flights }) => one(flights.waiting)),
  counter('weir_flights_total', 'Flights that asked the origin', ({ flights }) => one(flights.asked)),
  counter('weir_flights_collapsed_total', "Requests answered by another one's flight", ({ flights }) =>
    one(flights.collapsed),
  ),
  counter(
    'weir_flights_outrun_total',
    'Requests that left a flight for a later one, for something was invalidated before they came',
    ({ flights }) => one(flights.outrun),
  ),
  counter(
    'weir_flights_alone_total',
    'Requests that asked for themselves, for what was answered to another was for that one alone',
    ({ flights }) => one(flights.alone),
  ),
  counter(
    'weir_flights_failing_total',
    'Requests answered by the failure of the origin at another one',
    ({ flights }) => one(flights.failing),
  ),
  counter(
    'weir_flights_tags_left_out_total',
    'Entity tags that max-conditions and max-condition-tags kept out of requests',
    ({ flights }) => one(flights.tagsLeftOut),
  ),
  counter(
    'weir_flights_conditions_refused_total',
    'Requests sent again without conditions, for the origin refused them with',
    ({ flights }) => one(flights.conditionsRefused),
  ),
  counter('weir_flights_refused_total', 'Requests beyond the bounds on waiting', ({ flights }) =>
    one(flights.refused),
  ),

  gauge(
    'weir_origin_running',
    'Requests under way at the origin',
    eachOrigin(({ running }) => running),
  ),
  gauge(
    'weir_origin_queued',
    'Requests that wait for a connection',
    eachOrigin(({ queued }) => queued),
  ),
  counter(
    'weir_origin_requests_total',
    'Requests to the origin',
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
    'Requests given up with their connection, for the client had left',
    eachOrigin(({ abandoned }) => abandoned),
  ),

  gauge(
    'weir_origin_well',
    '1: the URL answered its last health check, by its place in the configuration',
    ({ originWell }) =>
      Object.entries(originWell).flatMap(([origin, urls]) =>
        urls.map((well, url) => ({ value: Number(well), labels: { origin, url } })),
      ),
  ),
  gauge('weir_origin_open', '1: the breaker leaves the origin alone', ({ originOpen }) =>
    Object.entries(originOpen).map(([origin, open]) => ({ value: Number(open), labels: { origin } })),
  ),

  gauge(
    'weir_writes',
    'Writes of the journal, by state: waiting, dead, done',
    ({ writes: { waiting, dead, done } }) =>
      Object.entries({ waiting, dead, done }).map(([state, value]) => ({ value, labels: { state } })),
  ),
  gauge('weir_writes_bytes', 'Bytes of writes that wait or are dead', ({ writes }) => one(writes.bytes)),
  gauge('weir_writes_oldest_seconds', 'Since the oldest waiting write was accepted', ({ writes }) =>
    one(writes.oldestSeconds),
  ),
  gauge('weir_writes_delivering', 'Writes of the journal on their way to an origin', ({ writes }) =>
    one(writes.delivering),
  ),
  gauge('weir_writes_through', 'Writes through on their way to an origin', ({ writes }) =>
    one(writes.through),
  ),
  gauge(
    'weir_writes_lingering',
    'Holds that outlast their write: its outcome is unknown, or the read lag has not passed',
    ({ writes }) => one(writes.lingering),
  ),
  gauge(
    'weir_writes_held',
    'Writes under way or of unknown outcome that count against writes.held',
    ({ writes }) => one(writes.held),
  ),
  counter(
    'weir_writes_refused_total',
    'Writes refused since too many were held, by bound: client, all',
    ({ writes }) => Object.entries(writes.refused).map(([bound, value]) => ({ value, labels: { bound } })),
  ),
  counter('weir_writes_accepted_total', 'Writes acknowledged', ({ writes }) => one(writes.accepted)),
  counter('weir_writes_delivered_total', 'Writes that their origin has', ({ writes }) =>
    one(writes.delivered),
  ),
  counter('weir_writes_retries_total', 'Attempts that are made again', ({ writes }) => one(writes.retries)),
  counter('weir_writes_dead_total', 'Writes given up', ({ writes }) => one(writes.givenUp)),
  counter('weir_writes_merged_total', 'Writes that gave way to a later one', ({ writes }) =>
    one(writes.merged),
  ),
  {
    name: 'weir_write_delivery_seconds',
    type: 'histogram',
    help: 'From the acknowledgement of a write to its delivery',
    samples: ({ stats: { writes } }) =>
      bucketSamples('weir_write_delivery_seconds', {}, writes.seconds.bounds, {
        buckets: writes.seconds.buckets,
        sumSeconds: writes.seconds.sum,
      }),
  },

  gauge('weir_feed_live', '1: proved to be at its head within max-silence', ({ feeds }) =>
    feeds.map(({ id, state }) => ({ value: Number(state === 'live'), labels: { feed: id } })),
  ),
  gauge('weir_feed_state', '1 for the state that the feed is in', ({ feeds }) =>
    feeds.flatMap(({ id, state }) =>
      FEED_STATES.map((each) => ({ value: Number(each === state), labels: { feed: id, state: each } })),
    ),
  ),
  {
    name: 'weir_feed_delay_seconds',
    type: 'histogram',
    help: 'From the commit of a change, or else its receipt, until it was in force and durable',
    samples: ({ stats }) =>
      stats.feeds.flatMap(({ id, delays }) =>
        histogramSamples('weir_feed_delay_seconds', { feed: id }, delays),
      ),
  },
  gauge(
    'weir_feed_silence_seconds',
    'Since the feed was last proved to be at its head; absent: never',
    eachFeed(({ silenceMs }) => (Number.isFinite(silenceMs) ? secondsOf(silenceMs) : null)),
  ),
  gauge(
    'weir_feed_behind',
    'Events that wait upstream, where the feed can tell',
    eachFeed(({ behind }) => behind),
  ),
  counter(
    'weir_feed_changes_total',
    'Changes applied',
    eachFeed(({ changes }) => changes),
  ),
  counter(
    'weir_feed_invalidations_total',
    'Times that the feed invalidated anything',
    eachFeed(({ invalidations }) => invalidations),
  ),
  counter(
    'weir_feed_gaps_total',
    'Places where something may have been missed',
    eachFeed(({ gaps }) => gaps),
  ),
  counter(
    'weir_feed_unmapped_total',
    'Changes that no entry of the map took',
    eachFeed(({ unmapped }) => unmapped),
  ),
  counter(
    'weir_feed_unintelligible_total',
    'Messages that could not be understood',
    eachFeed(({ unintelligible }) => unintelligible),
  ),
  counter(
    'weir_feed_incomplete_total',
    'Transactions without what a template needs',
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

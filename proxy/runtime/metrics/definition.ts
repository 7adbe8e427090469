import { BOUNDS_SECONDS } from '../../observability/request-cells.ts';
import type { CountsByRoute, HistogramCounts } from '../../observability/route-counters.ts';
import type { WeirStats } from '../stats.ts';

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

export function gauge(name: string, help: string, samples: (stats: WeirStats) => Sample[]): MetricDefinition {
  return { name, type: 'gauge', help, samples: ({ stats }) => samples(stats) };
}

export function counter(
  name: string,
  help: string,
  samples: (stats: WeirStats) => Sample[],
): MetricDefinition {
  return { name, type: 'counter', help, samples: ({ stats }) => samples(stats) };
}

export function one(value: number): Sample[] {
  return [{ value, labels: {} }];
}

export function histogramSamples(name: string, labels: Sample['labels'], counts: HistogramCounts): Sample[] {
  return bucketSamples(name, labels, BOUNDS_SECONDS, counts);
}

/** Cumulative buckets, as the format requires; no samples if nothing was counted. */
export function bucketSamples(
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

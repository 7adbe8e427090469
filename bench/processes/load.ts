/** A process that runs autocannon with the requests of a plan, and reports the latencies. */
import { createHistogram } from 'node:perf_hooks';
import autocannon from 'autocannon';
import { pathSource, type PathPlan } from '../paths.ts';
import { answerParent } from './child.ts';

export interface LoadPlan {
  readonly url: string;
  readonly connections: number;
  /** The duration. If `amount` is given, that number of requests is sent instead. */
  readonly seconds: number;
  readonly amount?: number;
  readonly paths: PathPlan;
  readonly method?: 'GET' | 'POST' | 'PUT';
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** The number of responses with a status other than 2xx, and of requests without a response. */
  readonly failures: number;
  readonly latencyMs: Latencies;
}

export interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The resolution with which autocannon ends a run. */
const SAMPLE_MS = 20;
const TIMEOUT_SECONDS = 30;

void answerParent(load);

async function load(plan: LoadPlan): Promise<LoadResult> {
  const { url, connections, seconds, amount, paths, method = 'GET', fields = {}, body } = plan;
  const next = pathSource(paths);
  const first = next();
  const done = Promise.withResolvers<unknown>();
  const options: autocannon.Options = {
    url,
    connections,
    ...(amount === undefined ? { duration: seconds } : { amount }),
    sampleInt: SAMPLE_MS,
    timeout: TIMEOUT_SECONDS,
    skipAggregateResult: true,
    requests: [
      {
        method,
        path: first,
        headers: { ...fields },
        ...(body === undefined ? {} : { body }),
        ...(paths.kind === 'same' ? {} : { setupRequest: (request) => ({ ...request, path: next() }) }),
      },
    ],
  };
  const instance = autocannon(options, (error: unknown) => {
    if (error) done.reject(error);
    else done.resolve(null);
  });
  const latencies = createHistogram();
  let failures = 0;
  const startedAt = performance.now();
  let endedAt = startedAt;
  instance.on('response', (_client, status, _bytes, responseMs) => {
    latencies.record(Math.max(1, Math.round(responseMs * 1000)));
    if (status < 200 || status > 299) failures += 1;
    endedAt = performance.now();
  });
  instance.on('reqError', () => {
    failures += 1;
  });
  await done.promise;
  return {
    requests: latencies.count,
    seconds: (endedAt - startedAt) / 1000,
    failures,
    latencyMs: {
      p50: latencies.percentile(50) / 1000,
      p99: latencies.percentile(99) / 1000,
      max: latencies.count === 0 ? 0 : latencies.max / 1000,
    },
  };
}

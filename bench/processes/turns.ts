/**
 * A preload (`--import`) that measures delays of the event loop in each thread of Weir. SIGUSR2 begins and ends a
 * measurement. At its end each thread writes a file in the folder `WEIR_BENCH_TURNS`.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads';

/** The JSON in a file. */
export interface Turns {
  readonly thread: 'coordinator' | 'worker';
  readonly samples: number;
  /** The delay of a timer of 1 ms, caused by turns that take longer. */
  readonly p99Ms: number;
  readonly maxMs: number;
}

const RESOLUTION_MS = 1;
const NANOS_IN_MS = 1e6;

const folder = process.env['WEIR_BENCH_TURNS'];
if (folder !== undefined) measureInto(folder);

function measureInto(folder: string): void {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  let isMeasuring = false;
  const take = (): void => {
    isMeasuring = !isMeasuring;
    if (isMeasuring) delays.reset();
    else write(folder, delays.count, delays.percentile(99), delays.max);
  };
  const channel = new BroadcastChannel('weir-bench-turns');
  channel.addEventListener('message', take);
  channel.unref();
  if (!isMainThread) return;
  process.on('SIGUSR2', () => {
    channel.postMessage(null);
    take();
  });
}

function write(folder: string, samples: number, p99Nanos: number, maxNanos: number): void {
  const late = (nanos: number): number => Math.max(0, nanos / NANOS_IN_MS - RESOLUTION_MS);
  const turns: Turns = {
    thread: isMainThread ? 'coordinator' : 'worker',
    samples,
    p99Ms: late(p99Nanos),
    maxMs: late(maxNanos),
  };
  const file = join(folder, `${threadId}.json`);
  writeFileSync(`${file}.new`, JSON.stringify(turns));
  renameSync(`${file}.new`, file);
}

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { OTHER_REASON, REASON_BYTES, REASONS } from '../../proxy/observability/request-cells.ts';
import { SharedRecorder, type RecorderPart } from '../../proxy/observability/shared-recorder.ts';
import { RouteCounters } from '../../proxy/observability/route-counters.ts';

/** A recorder that adds its parts to these counters as one worker's. */
function recorderOf(counters: RouteCounters, worker: number): SharedRecorder {
  return new SharedRecorder((part) => counters.take(worker, part));
}

describe('counting in shared memory', () => {
  it('keeps routes, outcomes and reasons apart', () => {
    const counters = new RouteCounters();
    const recorder = recorderOf(counters, 1);
    recorder.request('a', 'hit', 'memory', 200, 0.1, 10);
    recorder.request('a', 'hit', 'memory', 304, 0.1, 0);
    recorder.request('a', 'hit', 'disk', 200, 2, 5);
    recorder.request('b', 'failed', 'connection_refused', 502, 30, 90);
    recorder.request('', 'no-route', 'no-route', 404, 0.1, 80);
    const read = counters.read();
    expect([...read.keys()]).toEqual(['a', 'b', '']);
    const a = read.get('a')!;
    expect(a.requests).toEqual(
      new Map([
        [
          'hit',
          new Map([
            ['memory', 2],
            ['disk', 1],
          ]),
        ],
      ]),
    );
    expect(a.bytes).toEqual(new Map([['hit', 15]]));
    expect(a.responses).toEqual(
      new Map([
        ['2xx', 2],
        ['3xx', 1],
      ]),
    );
    expect(read.get('b')!.requests.get('failed')).toEqual(new Map([['connection_refused', 1]]));
  });

  it('puts durations into the first bucket that holds them, including its upper bound', () => {
    const counters = new RouteCounters();
    const recorder = recorderOf(counters, 1);
    for (const ms of [0, 0.5, 0.6, 10_000, 10_001]) recorder.request('a', 'hit', 'memory', 200, ms, 0);
    recorder.originHead('a', 80);
    const { hit, miss, origin } = counters.read().get('a')!;
    expect(hit.buckets).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect(hit.sumSeconds).toBeCloseTo(20.0021);
    expect(miss.buckets.every((bucket) => bucket === 0)).toBe(true);
    expect(origin.buckets[7]).toBe(1);
  });

  it.each([
    ['hit', 'memory', 'hit'],
    ['stale', 'stale-while-revalidate', 'hit'],
    ['stale', 'stale-if-error', 'miss'],
    ['revalidated', 'stale', 'miss'],
    ['miss', 'miss', 'miss'],
    ['pass', 'route', 'miss'],
    ['write', 'around', 'neither'],
  ] as const)('counts the duration of %s by %s as %s', (outcome, reason, kind) => {
    const counters = new RouteCounters();
    recorderOf(counters, 1).request('a', outcome, reason, 200, 1, 0);
    const { hit, miss } = counters.read().get('a')!;
    expect([hit.buckets[1], miss.buckets[1]]).toEqual([kind === 'hit' ? 1 : 0, kind === 'miss' ? 1 : 0]);
  });

  it('adds workers up, and keeps the counts of workers that ended', () => {
    const counters = new RouteCounters();
    const [first, second] = [recorderOf(counters, 1), recorderOf(counters, 2)];
    first.request('a', 'miss', 'miss', 200, 1, 1);
    second.request('a', 'miss', 'stale', 200, 1, 2);
    second.request('a', 'miss', 'miss', 200, 1, 3);
    const before = counters.read();
    counters.retire(1);
    expect(counters.read()).toEqual(before);
    const third = recorderOf(counters, 3);
    third.request('a', 'miss', 'miss', 200, 1, 4);
    counters.retire(3);
    counters.retire(3);
    const a = counters.read().get('a')!;
    expect(a.requests.get('miss')).toEqual(
      new Map([
        ['miss', 3],
        ['stale', 1],
      ]),
    );
    expect(a.bytes.get('miss')).toBe(10);
  });

  it('counts reasons beyond the limit as others', () => {
    const counters = new RouteCounters();
    const recorder = recorderOf(counters, 1);
    for (let i = 0; i < REASONS + 5; i += 1) recorder.request('a', 'tunnel', `p${i}`, 101, 1, 0);
    const reasons = counters.read().get('a')!.requests.get('tunnel')!;
    expect(reasons.size).toBe(REASONS + 1);
    expect(reasons.get(OTHER_REASON)).toBe(5);
  });

  it('cuts long reasons and adds up those that become equal', () => {
    const counters = new RouteCounters();
    const recorder = recorderOf(counters, 1);
    recorder.request('a', 'tunnel', `${'x'.repeat(REASON_BYTES)}1`, 101, 1, 0);
    recorder.request('a', 'tunnel', `${'x'.repeat(REASON_BYTES)}2`, 101, 1, 0);
    expect(counters.read().get('a')!.requests.get('tunnel')).toEqual(
      new Map([['x'.repeat(REASON_BYTES), 2]]),
    );
  });

  it('works across threads', async () => {
    const module = JSON.stringify(
      new URL('../../proxy/observability/shared-recorder.ts', import.meta.url).href,
    );
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
      import(${module}).then(({ SharedRecorder }) => {
        const recorder = new SharedRecorder((part) => parentPort.postMessage(part));
        recorder.request('a', 'hit', 'memory', 200, 1, 10);
        parentPort.postMessage(null);
      });`,
      { eval: true },
    );
    const counters = new RouteCounters();
    worker.on('message', (part: RecorderPart | null) => part !== null && counters.take(1, part));
    await once(worker, 'exit');
    expect(counters.read().get('a')!.requests.get('hit')).toEqual(new Map([['memory', 1]]));
  });
});

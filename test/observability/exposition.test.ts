import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { newFeedCounts } from '../../proxy/feeds/status.ts';
import { createExposition } from '../../proxy/runtime/exposition.ts';
import { METRICS } from '../../proxy/runtime/metric-definitions.ts';
import { SharedRecorder } from '../../proxy/observability/shared-recorder.ts';
import type { WeirStats } from '../../proxy/runtime/stats.ts';
import { RouteCounters } from '../../proxy/observability/route-counters.ts';
import { NO_WRITE_STATS } from '../writes/no-writes.ts';

const STATS: WeirStats = {
  version: '0.1.0',
  uptimeSeconds: 5,
  workers: { running: 2, replaced: 1 },
  process: { rssBytes: 400, anonymousBytes: 300, fileBytes: 100, fenceBytes: 50 },
  connections: 3,
  memory: { bytes: 10, entries: 2, evictions: 1, variantEvictions: 0, limitBytes: 100 },
  disk: null,
  fence: {
    sequence: 9,
    durableSequence: 9,
    invalidations: 4,
    overflows: 0,
    holds: 0,
    failures: 0,
    isFailing: false,
  },
  flights: {
    asked: 1,
    collapsed: 2,
    outrun: 0,
    alone: 0,
    failing: 0,
    refused: 0,
    tagsLeftOut: 0,
    conditionsRefused: 0,
    running: 0,
    waiting: 0,
  },
  requests: { droppedFields: 0, tooSlow: { head: 1, content: 2, total: 0, answer: 0 } },
  admin: { refused: { 'foreign-host': 2, 'foreign-page': 0, 'not-json': 0, token: 1 } },
  origins: { shop: { requests: 7, failures: 1, retries: 1, abandoned: 3, running: 0, queued: 0 } },
  writes: NO_WRITE_STATS,
  originWell: {},
  originOpen: {},
  feeds: [
    {
      id: 'changes',
      type: 'sse',
      state: 'live',
      position: '1',
      silenceMs: 250,
      behind: null,
      lastFailure: null,
      ...newFeedCounts(),
    },
  ],
};

async function linesOf(counters: RouteCounters, stats: WeirStats = STATS): Promise<string[]> {
  const text = await createExposition({ counters, stats: async () => stats }).text();
  return text.split('\n');
}

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

describe('metrics', () => {
  it.skipIf(!hasPromtool)("pass promtool's check (skipped where it is not installed)", async () => {
    const input = (await linesOf(new RouteCounters())).join('\n');
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
    expect(`${stdout}${stderr}`).toBe('');
  });

  it('count requests by route, outcome and reason, whatever is in a name', async () => {
    const counters = new RouteCounters();
    const recorder = new SharedRecorder((part) => counters.take(1, part));
    recorder.request('say "a\\b"', 'hit', 'memory', 200, 0.4, 12);
    const lines = await linesOf(counters);
    const route = 'route="say \\"a\\\\b\\""';
    expect(lines).toContain('# TYPE weir_requests_total counter');
    expect(lines).toContain(`weir_requests_total{${route},outcome="hit",reason="memory"} 1`);
    expect(lines).toContain(`weir_response_bytes_total{${route},outcome="hit"} 12`);
    expect(lines).toContain(`weir_responses_total{${route},status="2xx"} 1`);
  });

  it('show durations as histograms of seconds, added up', async () => {
    const counters = new RouteCounters();
    const recorder = new SharedRecorder((part) => counters.take(1, part));
    recorder.request('a', 'hit', 'memory', 200, 0.5, 0);
    recorder.request('a', 'hit', 'memory', 200, 20_000, 0);
    recorder.originHead('a', 40);
    const lines = await linesOf(counters);
    expect(lines).toContain('# TYPE weir_request_duration_seconds histogram');
    expect(lines).toContain('weir_request_duration_seconds_bucket{le="0.0005",route="a",kind="hit"} 1');
    expect(lines).toContain('weir_request_duration_seconds_bucket{le="10",route="a",kind="hit"} 1');
    expect(lines).toContain('weir_request_duration_seconds_bucket{le="+Inf",route="a",kind="hit"} 2');
    expect(lines).toContain('weir_request_duration_seconds_sum{route="a",kind="hit"} 20.0005');
    expect(lines).toContain('weir_request_duration_seconds_count{route="a",kind="hit"} 2');
    expect(lines).toContain('weir_origin_duration_seconds_bucket{le="0.05",route="a"} 1');
    expect(lines.some((line) => line.includes('kind="miss"'))).toBe(false);
  });

  it('show the state of the process and of its parts', async () => {
    const lines = await linesOf(new RouteCounters());
    expect(lines).toContain('weir_info{version="0.1.0"} 1');
    expect(lines).toContain('weir_workers_replaced_total 1');
    expect(lines).toContain('weir_memory_bytes 10');
    expect(lines).toContain('weir_fence_invalidations_total 4');
    expect(lines).toContain('weir_origin_requests_total{origin="shop"} 7');
    expect(lines).toContain('weir_origin_abandoned_total{origin="shop"} 3');
    expect(lines).toContain('weir_requests_too_slow_total{part="content"} 2');
    expect(lines).toContain('weir_admin_refused_total{reason="foreign-host"} 2');
    expect(lines).toContain('weir_feed_silence_seconds{feed="changes"} 0.25');
    expect(lines.some((line) => line.startsWith('process_cpu_seconds_total '))).toBe(true);
  });

  it('leave out what the configuration does not have', async () => {
    const lines = await linesOf(new RouteCounters());
    expect(lines.some((line) => line.startsWith('weir_disk_bytes'))).toBe(false);
    expect(lines.some((line) => line.startsWith('weir_feed_behind'))).toBe(false);
  });

  it('are read anew each time', async () => {
    const counters = new RouteCounters();
    const recorder = new SharedRecorder((part) => counters.take(1, part));
    const exposition = createExposition({ counters, stats: async () => STATS });
    await exposition.text();
    recorder.request('a', 'miss', 'miss', 200, 1, 0);
    expect(await exposition.text()).toContain(
      'weir_requests_total{route="a",outcome="miss",reason="miss"} 1',
    );
  });

  it('have the names, types and texts of docs/metrics.md', async () => {
    const document = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const rows = [...document.matchAll(/^\| `(weir_\w+)` +\| (\w+) +\|[^|]*\| (.+?) +\|$/gm)];
    const documented = rows.map(([, name, type, text]) => ({ name, type, help: text!.replaceAll('`', '') }));
    expect(METRICS.map(({ name, type, help }) => ({ name, type, help }))).toEqual(documented);
  });
});

import { describe, expect, it } from 'vitest';
import type { WorkerStats } from '../../proxy/runtime/calls.ts';
import { createWorkerCounters } from '../../proxy/runtime/worker-counters.ts';

function statsOf(asked: number, bytes: number, requests: number): WorkerStats {
  return {
    memory: { bytes, entries: 1, evictions: asked, variantEvictions: 0 },
    promotions: 0,
    lost: 0,
    corrupt: 0,
    flights: {
      asked,
      collapsed: 0,
      superseded: 0,
      alone: 0,
      failing: 0,
      refused: 0,
      tagsLeftOut: 0,
      conditionsRefused: 0,
      running: 1,
      waiting: 2,
    },
    refreshes: { refreshes: 0, refreshesSkipped: 0 },
    requests: { droppedFields: 0, tooSlow: { head: 0, content: 0, total: 0, answer: 0 } },
    origins: { app: { requests, failures: 0, retries: 0, abandoned: 0, running: 1, queued: 0 } },
  };
}

describe('counters over workers', () => {
  it('keep the counts of a worker that has ended, and drop its gauges', () => {
    const counters = createWorkerCounters();
    counters.add(1, () => statsOf(10, 100, 5));
    counters.add(2, () => statsOf(20, 200, 7));
    counters.end(1);
    counters.add(3, () => statsOf(1, 50, 1));
    const { memory, flights, origins } = counters.read();
    expect(memory).toMatchObject({ bytes: 250, entries: 2, evictions: 31 });
    expect(flights).toMatchObject({ asked: 31, running: 2, waiting: 4 });
    expect(origins['app']).toMatchObject({ requests: 13, running: 2 });
  });
});

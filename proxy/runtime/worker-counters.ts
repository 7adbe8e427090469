import { newFlightCounters } from '../fetch/flight-counters.ts';
import { CounterSum } from '../threads/counters.ts';
import type { WorkerStats } from './calls.ts';

/** Sums the counters of all workers, by instance number. */
export function createWorkerCounters(): CounterSum<number, WorkerStats> {
  return new CounterSum(NOTHING, countersOf);
}

const NOTHING: WorkerStats = {
  memory: { bytes: 0, entries: 0, evictions: 0, variantEvictions: 0 },
  promotions: 0,
  lost: 0,
  corrupt: 0,
  flights: { ...newFlightCounters(), running: 0, waiting: 0 },
  refreshes: { refreshes: 0, refreshesSkipped: 0 },
  requests: { droppedFields: 0, tooSlow: { head: 0, content: 0, total: 0, answer: 0 } },
  origins: {},
};

/** Keeps the counters and resets the gauges of a worker that has ended. */
function countersOf(stats: WorkerStats): WorkerStats {
  return {
    ...stats,
    memory: { ...stats.memory, bytes: 0, entries: 0 },
    flights: { ...stats.flights, running: 0, waiting: 0 },
    origins: Object.fromEntries(
      Object.entries(stats.origins).map(([name, origin]) => [name, { ...origin, running: 0, queued: 0 }]),
    ),
  };
}

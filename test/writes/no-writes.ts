import type { AdminDependencies } from '../../proxy/admin/dependencies.ts';
import type { JournalStats } from '../../proxy/runtime/stats.ts';

/** For tests that do not concern writes. */
export const NO_WRITES: AdminDependencies['writes'] = {
  list: () => [],
  show: () => null,
  retry: () => Promise.resolve({ kind: 'unknown' }),
  discard: () => Promise.resolve({ kind: 'unknown' }),
};

export const NO_WRITE_STATS: JournalStats = {
  waiting: 0,
  dead: 0,
  done: 0,
  bytes: 0,
  oldestSeconds: 0,
  accepted: 0,
  delivered: 0,
  retries: 0,
  givenUp: 0,
  merged: 0,
  delivering: 0,
  through: 0,
  lingering: 0,
  held: 0,
  refused: { client: 0, all: 0 },
  seconds: { bounds: [], buckets: [], sum: 0 },
};

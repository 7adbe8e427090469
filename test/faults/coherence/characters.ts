import { silentDriver } from './drivers/silent.ts';
import type { History } from './history.ts';
import type { RunOptions } from './run.ts';

/** Pages turn into other pages, 404s and private pages. Weir learns of that only from the origin's answers. */
export const TURNING = {
  driver: silentDriver(false),
  origin: { character: 'turning' },
  writerPauseMs: 300,
  isConclusive: (history: History) => history.hits > history.reads.length / 50,
} as const satisfies Partial<RunOptions>;

/** Each client must get its own response, no older than its request. */
export const PERSONAL = {
  driver: silentDriver(true),
  origin: { character: 'personal' },
  isConclusive: (history: History) => history.reads.length > 300,
} as const satisfies Partial<RunOptions>;

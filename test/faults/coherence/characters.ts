import { silentDriver } from './drivers/silent.ts';
import type { History } from './history.ts';
import type { RunOptions } from './run.ts';

/** Pages turn into others, into 404s and private pages; what the origin said of them is all that Weir knows. */
export const TURNING = {
  driver: silentDriver(false),
  origin: { character: 'turning' },
  writerPauseMs: 300,
  isTelling: (history: History) => history.hits > history.reads.length / 50,
} as const satisfies Partial<RunOptions>;

/** Everybody must be answered with what is his, as it was when he asked or later. */
export const PERSONAL = {
  driver: silentDriver(true),
  origin: { character: 'personal' },
  isTelling: (history: History) => history.reads.length > 300,
} as const satisfies Partial<RunOptions>;

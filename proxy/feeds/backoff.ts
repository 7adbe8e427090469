import type { FeedFailure } from '../../origin-adapters/feeds/feed.ts';

const BASE_MS = 200;
const MAX_MS = 30_000;

/**
 * How long to wait before the next attempt: exponential with full jitter, so that many nodes do not come back at once;
 * where somebody must act first, near the longest at once. null: not again. `attempt` counts from 0, `random` is in [0, 1).
 */
export function backoffMs(retry: FeedFailure['retry'], attempt: number, random: number): number | null {
  switch (retry) {
    case 'soon':
      return random * Math.min(MAX_MS, BASE_MS * 2 ** Math.min(attempt, 30));
    case 'slowly':
      return MAX_MS / 2 + random * (MAX_MS / 2);
    case 'never':
      return null;
    default:
      return retry satisfies never;
  }
}

import type { FeedFailure } from '../../origin-adapters/feeds/feed.ts';

const BASE_MS = 200;
const SLOW_BASE_MS = 2_000;
const MAX_MS = 30_000;

/**
 * How long to wait before the next attempt: exponential with full jitter, so that many nodes do not come back at once.
 * Where somebody must act first, the longest is reached within three attempts: what is made anew under its name, a slot
 * or a stream, is missing only for a moment. null: not again. `attempt` counts from 0, `random` is in [0, 1).
 */
export function backoffMs(retry: FeedFailure['retry'], attempt: number, random: number): number | null {
  switch (retry) {
    case 'soon':
      return random * Math.min(MAX_MS, BASE_MS * 2 ** Math.min(attempt, 30));
    case 'slowly': {
      const longestMs = Math.min(MAX_MS, SLOW_BASE_MS * 4 ** Math.min(attempt, 30));
      return (1 + random) * (longestMs / 2);
    }
    case 'never':
      return null;
    default:
      return retry satisfies never;
  }
}

import type { FeedFailure } from '../../origin-adapters/feeds/feed.ts';

const BASE_MS = 200;
const SLOW_BASE_MS = 2_000;
const MAX_MS = 30_000;

/**
 * The delay before the next attempt in milliseconds; null: no further attempt. `soon` backs off exponentially with full
 * jitter, so that many nodes do not reconnect at once. `slowly` reaches the longest delay within three attempts: an
 * operator has to act, but a slot or stream that is being recreated is missing only briefly. `attempt` counts from 0;
 * `random` is in [0, 1).
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

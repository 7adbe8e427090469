import type { FeedConfig } from '../../policies/config/config.ts';
import { secondsOf } from '../threads/clock.ts';
import { BOUNDS_SECONDS } from '../observability/request-cells.ts';
import type { FeedState } from './sink.ts';

/** The state of a feed as shown to operators. */
export interface FeedStatus extends Readonly<FeedCounts> {
  readonly id: string;
  readonly type: FeedConfig['type'];
  readonly state: FeedState;
  /** The last applied and durable position in the form of the feed's server; null: none yet. */
  readonly position: string | null;
  /** Milliseconds since the feed was last proved to be at its head; Infinity: never. */
  readonly silenceMs: number;
  /** Events that wait upstream, as last reported by the feed; null: unknown. */
  readonly behind: number | null;
  /** Why the feed is not connected or not live; null: it is live, or nothing has failed yet. */
  readonly lastFailure: string | null;
}

/** Counted since the start, once applied and durable. */
export interface FeedCounts {
  changes: number;
  /** Transactions, gaps and unintelligible messages that invalidated anything. */
  invalidations: number;
  gaps: number;
  /** Changes that no entry of the map matched. */
  unmapped: number;
  unintelligible: number;
  /** Transactions that lacked a value for a template or named too many tags. */
  incomplete: number;
  /** Refused or lost connections. */
  failures: number;
  /** Seconds from a transaction's commit, or its receipt if that is unknown, until it was applied and durable. */
  readonly delays: { readonly buckets: number[]; sumSeconds: number };
}

export function newFeedCounts(): FeedCounts {
  return {
    changes: 0,
    invalidations: 0,
    gaps: 0,
    unmapped: 0,
    unintelligible: 0,
    incomplete: 0,
    failures: 0,
    delays: { buckets: Array.from({ length: BOUNDS_SECONDS.length + 1 }, () => 0), sumSeconds: 0 },
  };
}

/** `delayMs` may be negative where the origin's clock is ahead. */
export function countDelay({ delays }: FeedCounts, delayMs: number): void {
  const seconds = Math.max(0, delayMs / 1000);
  const bucket = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
  delays.buckets[bucket < 0 ? BOUNDS_SECONDS.length : bucket]! += 1;
  delays.sumSeconds = secondsOf((delays.sumSeconds + seconds) * 1000);
}

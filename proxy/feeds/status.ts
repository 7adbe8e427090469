import type { FeedConfig } from '../../policies/config/config.ts';
import { secondsOf } from '../threads/clock.ts';
import { BOUNDS_SECONDS } from '../observability/request-cells.ts';
import type { FeedState } from './sink.ts';

/** A feed as operators see it. */
export interface FeedStatus extends Readonly<FeedCounts> {
  readonly id: string;
  readonly type: FeedConfig['type'];
  readonly state: FeedState;
  /** The last one applied and durable, as the feed's own world writes it; null: none yet. */
  readonly position: string | null;
  /** Since it was last proved to be at its head; Infinity: never. */
  readonly silenceMs: number;
  /** Events that wait upstream, as the feed last said; null: it can't tell. */
  readonly behind: number | null;
  /** Why it is not connected, or not live although it is; null: it is live, or nothing went wrong yet. */
  readonly lastFailure: string | null;
}

/** Since the start; counted when they are in force and durable. */
export interface FeedCounts {
  changes: number;
  /** Transactions, gaps and the like that invalidated anything. */
  invalidations: number;
  gaps: number;
  /** Changes that no entry of the map took. */
  unmapped: number;
  unintelligible: number;
  /** Transactions whose changes did not tell what a template needs, or named too much. */
  incomplete: number;
  /** Connections that were refused or lost. */
  failures: number;
  /** How long after its commit, or else after it was received, a transaction was in force and durable. */
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

/** `delayMs` may be negative, where the origin's clock is ahead of ours. */
export function countDelay({ delays }: FeedCounts, delayMs: number): void {
  const seconds = Math.max(0, delayMs / 1000);
  const bucket = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
  delays.buckets[bucket < 0 ? BOUNDS_SECONDS.length : bucket]! += 1;
  delays.sumSeconds = secondsOf((delays.sumSeconds + seconds) * 1000);
}

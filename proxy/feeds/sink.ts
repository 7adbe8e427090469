import type { VersionMark } from '../../policies/feed-version.ts';

/** Applies a feed's changes to the fence, in one order with purges and writes. */
export interface InvalidationSink {
  /**
   * The last applied and durable position; null: there is none, or it was saved under another configuration of the feed,
   * so that the feed begins with a gap.
   */
  position(feed: string): string | null;
  /** The version mark at that position; `NO_MARK`: there is none. */
  mark(feed: string): VersionMark;
  /**
   * Resolves when all tags are invalidated at once for every worker, and tags and position are durable. After a
   * rejection the tags may be invalidated or not.
   */
  apply(invalidation: FeedInvalidation): Promise<{ readonly sequence: number }>;
  /** Reports a proved head: from now on a response has to include everything up to it. */
  announceHead(feed: string, position: string): void;
}

export interface FeedInvalidation {
  readonly feed: string;
  /** Empty if only the position advances. */
  readonly tags: readonly string[];
  /** null: unchanged. */
  readonly position: string | null;
  /** The version that a response has to attest from then on. */
  readonly mark: VersionMark;
  /** `scope`: the feed's scope is invalidated, because what the changes name is not fully known. */
  readonly kind: 'change' | 'gap' | 'scope';
}

/**
 * Publishes a feed's state to the workers. They compute the silence themselves, so that they stop trusting the feed when
 * the coordinator stalls.
 */
export interface FeedHealth {
  set(feed: string, health: FeedHealthReport): void;
}

export interface FeedHealthReport {
  readonly state: FeedState;
  /** When the feed was last proved to be at its head, on the monotonic clock; -Infinity: never. */
  readonly silentSinceMonotonicMs: number;
}

/** `lost`: not connected. `catching-up`: connected, but not proved to be at its head within `max-silence`. */
export const FEED_STATES = ['live', 'catching-up', 'lost'] as const;
export type FeedState = (typeof FEED_STATES)[number];

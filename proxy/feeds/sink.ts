import type { VersionMark } from '../../policies/feed-version.ts';

/**
 * The one way by which a feed's changes come into force: the same door and the same order as purges and writes.
 */
export interface InvalidationSink {
  /**
   * The last position applied and durable; null: none, or the feed's configuration is another than the one under which
   * it was saved, so that the feed begins anew, with a gap.
   */
  position(feed: string): string | null;
  /** What was told up to that position; `NO_MARK` where there is none. */
  mark(feed: string): VersionMark;
  /**
   * Resolves when every tag is in force in every worker, for all to see at once, and that and the position are durable.
   * Rejects when that could not be done; the tags may then be in force or not.
   */
  apply(invalidation: FeedInvalidation): Promise<{ readonly sequence: number }>;
  /** Where the feed has proved its head to be: from now on an answer has to show everything up to there. */
  announceHead(feed: string, position: string): void;
}

export interface FeedInvalidation {
  readonly feed: string;
  /** May be empty: the position moves alone. */
  readonly tags: readonly string[];
  /** null: stays as it is. */
  readonly position: string | null;
  /** What an answer has to show from then on. */
  readonly mark: VersionMark;
  /** `scope`: more than the changes named, for what they name is not fully known. */
  readonly kind: 'change' | 'gap' | 'scope';
}

/**
 * Where the feed's state is published to the workers, which compute its silence themselves: a coordinator that stalls
 * makes them cautious.
 */
export interface FeedHealth {
  set(feed: string, health: FeedHealthReport): void;
}

export interface FeedHealthReport {
  readonly state: FeedState;
  /** When it last was proved to be at its head, on the process's monotonic clock; -Infinity: never. */
  readonly silentSinceMonotonicMs: number;
}

/** `lost`: not connected. `catching-up`: connected, but not proved to be at its head within `max-silence`. */
export const FEED_STATES = ['live', 'catching-up', 'lost'] as const;
export type FeedState = (typeof FEED_STATES)[number];

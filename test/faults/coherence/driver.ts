import type { FeedAdapter } from '../../../origin-adapters/feeds/feed.ts';
import type { Random } from './random.ts';

/** The way by which a writer's changes get to Weir, and what can go wrong on it. */
export interface Driver {
  readonly name: string;
  /** Of the one feed, named `changes`; null: there is none, and purges tell Weir. */
  readonly feed: {
    readonly yaml: string;
    readonly adapter: FeedAdapter;
    /** How long what is said may be on its way; proofs that are not asked for count when they arrive. */
    readonly pushDelayMs: number;
  } | null;
  /** That keys have changed. Resolves when the feed has it, with its position where it has one. */
  publish(keys: readonly number[]): Promise<Published>;
  readonly faults: readonly Fault[];
  stop(): Promise<void>;
}

export interface Published {
  /** As `showPosition` writes it; null: none, or none that can be known. */
  readonly position: string | null;
  /** Weir itself has said that it is in force. */
  readonly isInForce: boolean;
}

export interface Fault {
  readonly name: string;
  /** Resolves when things are well again. */
  happen(random: Random): Promise<void>;
}

/** Where Weir is, over its restarts. */
export interface Target {
  readonly url: string;
  readonly adminUrl: string;
  readonly random: Random;
}

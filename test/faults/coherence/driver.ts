import type { FeedAdapter } from '../../../origin-adapters/feeds/feed.ts';
import type { Random } from './random.ts';

/** A transport that carries a writer's changes to Weir, and its faults. */
export interface Driver {
  readonly name: string;
  /** The one feed, named `changes`; null: there is none. */
  readonly feed: {
    readonly yaml: string;
    readonly adapter: FeedAdapter;
    /** How long a message may be in transit: a proof that Weir has not requested counts from its arrival. */
    readonly pushDelayMs: number;
  } | null;
  /** Publishes that keys have changed. Resolves when the feed, or Weir, has accepted it. */
  publish(keys: readonly number[]): Promise<Published>;
  readonly faults: readonly Fault[];
  stop(): Promise<void>;
}

export interface Published {
  /** The change's position in the feed, as `showPosition` writes it; null: none is known. */
  readonly position: string | null;
  /** Whether Weir has answered that the change is in force. */
  readonly isInForce: boolean;
}

export interface Fault {
  readonly name: string;
  /** Causes the fault for a real length of time, which `random` may choose. Resolves when it is over. */
  happen(random: Random): Promise<void>;
}

/** The addresses of Weir, which stay the same over its restarts. */
export interface Target {
  readonly url: string;
  readonly adminUrl: string;
  readonly random: Random;
}

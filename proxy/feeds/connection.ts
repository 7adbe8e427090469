import type { FeedFailure } from '../../origin-adapters/feeds/feed.ts';
import type { ChangeBatch } from './change-batch.ts';
import { BatchQueue } from './batch-queue.ts';

/** The maximum of batches and tags that may wait for the invalidation sink. */
const QUEUE_LIMIT = 20_000;

/** One connection of a feed, and the batches received on it. */
export class FeedConnection {
  readonly queue = new BatchQueue<ChangeBatch>(QUEUE_LIMIT);
  readonly #abort = new AbortController();
  readonly openedAtMs: number;
  hasReceived = false;
  /** The number of events being mapped and of groups of batches being applied. */
  pending = 0;
  /** When the last message arrived, or when the runner last kept one waiting; monotonic. */
  lastMessageAtMs: number;
  #failure: FeedFailure | null = null;

  constructor(nowMs: number) {
    this.openedAtMs = nowMs;
    this.lastMessageAtMs = nowMs;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get isGivenUp(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Why the connection ended. The first reason counts. */
  get failure(): FeedFailure {
    return this.#failure ?? closedByOrigin;
  }

  failed(failure: FeedFailure): void {
    this.#failure ??= failure;
  }

  /** Closes the connection. Batches received before are still applied. */
  giveUp(failure: FeedFailure): void {
    this.failed(failure);
    this.#abort.abort();
  }
}

const closedByOrigin: FeedFailure = {
  kind: 'unreachable',
  retry: 'soon',
  message: 'the connection was closed',
  cause: null,
};

import type { FeedFailure } from '../../origin-adapters/feeds/feed.ts';
import type { ChangeBatch } from './change-batch.ts';
import { BatchQueue } from './batch-queue.ts';

/** Events and tags that may wait for the door. */
const QUEUE_LIMIT = 20_000;

/** One opening of a feed, and what it has said so far. */
export class FeedConnection {
  readonly queue = new BatchQueue<ChangeBatch>(QUEUE_LIMIT);
  readonly #abort = new AbortController();
  readonly openedAtMs: number;
  hasSpoken = false;
  /** So many things of it are being mapped, or on their way through the door. */
  works = 0;
  /** When it last said anything, or was last kept waiting by us; monotonic. */
  heardAtMs: number;
  #failure: FeedFailure | null = null;

  constructor(nowMs: number) {
    this.openedAtMs = nowMs;
    this.heardAtMs = nowMs;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get isGivenUp(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Why it ended: the first reason counts. */
  get failure(): FeedFailure {
    return this.#failure ?? closedByOrigin;
  }

  failed(failure: FeedFailure): void {
    this.#failure ??= failure;
  }

  /** Ends it from our side. What it has said before is still applied. */
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

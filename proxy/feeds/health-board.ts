import type { RouteCacheConfig } from '../../policies/config/config.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { FeedHealth, FeedHealthReport, FeedState } from './door.ts';

/**
 * How the feeds stand, in shared memory: the coordinator writes, workers read and count the silence themselves, so that
 * a coordinator that stalls makes them cautious. Two 64-bit cells a feed: state, and the microsecond of the last proof.
 */
const STATES: readonly FeedState[] = ['lost', 'catching-up', 'live'];

export function healthBuffer(feeds: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Math.max(1, feeds) * 16);
}

export class HealthBoard implements FeedHealth {
  readonly #feeds: readonly string[];
  readonly #cells: BigInt64Array;

  constructor(feeds: readonly string[], buffer: SharedArrayBuffer) {
    this.#feeds = feeds;
    this.#cells = new BigInt64Array(buffer);
  }

  set(feed: string, { state, silentSinceMonotonicMs }: FeedHealthReport): void {
    const at = this.#feeds.indexOf(feed) * 2;
    if (at < 0) return;
    const proved = Number.isFinite(silentSinceMonotonicMs);
    Atomics.store(this.#cells, at + 1, proved ? BigInt(Math.floor(silentSinceMonotonicMs * 1000)) : 0n);
    Atomics.store(this.#cells, at, BigInt(proved ? STATES.indexOf(state) : 0));
  }

  /** How far entries of a route may be believed now. */
  trust(
    feed: string,
    maxSilenceMs: number,
    onLoss: RouteCacheConfig['onFeedLoss'],
    nowMs: number,
  ): FeedTrust {
    const at = this.#feeds.indexOf(feed) * 2;
    if (at < 0 || Atomics.load(this.#cells, at) !== 2n) return onLoss;
    const provedAtMs = Number(Atomics.load(this.#cells, at + 1)) / 1000;
    return nowMs - provedAtMs <= maxSilenceMs ? 'live' : onLoss;
  }
}

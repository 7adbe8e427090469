import type { RouteCacheConfig } from '../../policies/config/config.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { Clock } from '../threads/clock.ts';
import type { FeedHealthReport, FeedState } from './sink.ts';

/**
 * The state of one feed in shared memory. The coordinator writes it; workers read it and compute the silence
 * themselves, so that they stop trusting the feed when the coordinator stalls. Three 64-bit cells hold the state and
 * the microsecond of the last proof by both clocks. The monotonic clock stops while the machine sleeps, and after it
 * wakes a worker may run before the coordinator.
 */
const STATES: readonly FeedState[] = ['lost', 'catching-up', 'live'];
const STATE = 0;
const PROVED = 1;
const PROVED_WALL = 2;

export function healthBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(24);
}

export class HealthCells {
  readonly #cells: BigInt64Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new BigInt64Array(buffer);
  }

  set({ state, silentSinceMonotonicMs }: FeedHealthReport, clock: Clock): void {
    const proved = Number.isFinite(silentSinceMonotonicMs);
    const wallMs = proved ? clock.nowMs() - (clock.monotonicMs() - silentSinceMonotonicMs) : 0;
    Atomics.store(this.#cells, PROVED_WALL, BigInt(Math.floor(wallMs * 1000)));
    Atomics.store(this.#cells, PROVED, proved ? BigInt(Math.floor(silentSinceMonotonicMs * 1000)) : 0n);
    Atomics.store(this.#cells, STATE, BigInt(proved ? STATES.indexOf(state) : 0));
    Atomics.notify(this.#cells, PROVED);
  }

  /** How far entries of a route that trusts this feed may be used now. */
  trust(maxSilenceMs: number, onLoss: RouteCacheConfig['onFeedLoss'], clock: Clock): FeedTrust {
    if (Atomics.load(this.#cells, STATE) !== 2n) return onLoss;
    // The proof is read before the clock, so that a pause of this thread between the two counts as silence.
    const provedAtMs = this.provedAtMs();
    const provedAtWallMs = Number(Atomics.load(this.#cells, PROVED_WALL)) / 1000;
    const silenceMs = Math.max(clock.monotonicMs() - provedAtMs, clock.nowMs() - provedAtWallMs);
    return silenceMs <= maxSilenceMs ? 'live' : onLoss;
  }

  /** When the feed was last proved to be at its head, in monotonic milliseconds; 0: never. */
  provedAtMs(): number {
    return Number(Atomics.load(this.#cells, PROVED)) / 1000;
  }

  /** Resolves once the feed was proved to be at its head at `sinceMs` (monotonic) or later; false after `timeoutMs`. */
  async provedSince(sinceMs: number, timeoutMs: number, now: () => number): Promise<boolean> {
    const deadlineMs = now() + timeoutMs;
    for (;;) {
      const seen = Atomics.load(this.#cells, PROVED);
      if (Number(seen) / 1000 >= sinceMs) return true;
      const leftMs = deadlineMs - now();
      if (leftMs <= 0) return false;
      await Atomics.waitAsync(this.#cells, PROVED, seen, leftMs).value;
    }
  }
}

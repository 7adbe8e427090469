import type { FeedClock } from '../../origin-adapters/feeds/feed.ts';

/**
 * Detects that this process stalled or the machine slept: messages that were buffered in a socket meanwhile prove
 * nothing about the present. While a machine sleeps, the wall clock advances and the monotonic clock does not.
 */
export class StallDetector {
  readonly #clock: FeedClock;
  readonly #toleranceMs: number;
  #lastMonotonicMs: number;
  #lastWallMs: number;

  /** `toleranceMs`: a longer time between two checks, or a larger drift between the clocks, is a stall. */
  constructor(clock: FeedClock, toleranceMs: number) {
    this.#clock = clock;
    this.#toleranceMs = toleranceMs;
    this.#lastMonotonicMs = clock.monotonicMs();
    this.#lastWallMs = clock.nowMs();
  }

  /** To be called at least every `toleranceMs`, and before a proof is accepted. */
  check(): 'fine' | 'stalled' | 'jumped' {
    const monotonicMs = this.#clock.monotonicMs();
    const wallMs = this.#clock.nowMs();
    const elapsedMs = monotonicMs - this.#lastMonotonicMs;
    const driftMs = Math.abs(wallMs - this.#lastWallMs - elapsedMs);
    this.#lastMonotonicMs = monotonicMs;
    this.#lastWallMs = wallMs;
    if (elapsedMs > this.#toleranceMs) return 'stalled';
    return driftMs > this.#toleranceMs ? 'jumped' : 'fine';
  }
}

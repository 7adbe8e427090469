import type { FeedClock } from '../../origin-adapters/feeds/feed.ts';

/**
 * Notices that this process stood still, or that the machine did: messages that lie in a socket since then say nothing
 * of now. The wall clock goes on while a machine sleeps and the monotonic one does not.
 */
export class StallDetector {
  readonly #clock: FeedClock;
  readonly #toleranceMs: number;
  #lastMonotonicMs: number;
  #lastWallMs: number;

  /** `toleranceMs`: how much longer than the time between two looks is not yet a stall. */
  constructor(clock: FeedClock, toleranceMs: number) {
    this.#clock = clock;
    this.#toleranceMs = toleranceMs;
    this.#lastMonotonicMs = clock.monotonicMs();
    this.#lastWallMs = clock.nowMs();
  }

  /** Asked at least every `toleranceMs`, and before anything is believed. */
  look(): 'fine' | 'stalled' | 'jumped' {
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

import type { FeedClock } from '../../origin-adapters/feeds/feed.ts';

/** A clock that advances only when the test says so. */
export class FakeClock implements FeedClock {
  #monotonicMs = 1_000_000;
  #wallMs = 1_700_000_000_000;
  #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  nowMs(): number {
    return this.#wallMs;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#monotonicMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Time passes, and every timer fires when it is due. */
  advance(ms: number): void {
    const untilMs = this.#monotonicMs + ms;
    for (;;) {
      const next = [...this.#timers]
        .filter((timer) => timer.atMs <= untilMs)
        .toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#move(Math.max(0, next.atMs - this.#monotonicMs));
      this.#timers.delete(next);
      next.callback();
    }
    this.#move(untilMs - this.#monotonicMs);
  }

  /** Time passes while the process is stalled: timers are late. */
  stall(ms: number): void {
    this.#move(ms);
  }

  /** Only the wall clock advances, as while the machine is suspended. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  #move(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }
}

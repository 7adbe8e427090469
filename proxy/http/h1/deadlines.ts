/**
 * One timer for all deadlines of a listener's connections. It is coarse: a deadline passes never early, and late by at most
 * an eighth of its time.
 */
import { systemClock } from '../../threads/clock.ts';

/** What has deadlines: at each tick it compares its own times with `nowMs`, in monotonic milliseconds. */
export interface Timed {
  checkDeadlines(nowMs: number): void;
}

/** No finer than this. */
const LEAST_TICK_MS = 5;
const MOST_TICK_MS = 1_000;

export class Deadlines {
  /** When deadlines that begin now are counted from: the next tick, so that they are never early. */
  fromMs: number;
  private readonly tickMs: number;
  private readonly timed = new Set<Timed>();
  private readonly timer: NodeJS.Timeout;

  /** `shortestMs`: of all deadlines. */
  constructor(shortestMs: number) {
    this.tickMs = Math.min(MOST_TICK_MS, Math.max(LEAST_TICK_MS, Math.floor(shortestMs / 16)));
    this.fromMs = systemClock.monotonicMs() + this.tickMs;
    this.timer = setInterval(() => this.tick(), this.tickMs).unref();
  }

  add(timed: Timed): void {
    this.timed.add(timed);
  }

  delete(timed: Timed): void {
    this.timed.delete(timed);
  }

  end(): void {
    clearInterval(this.timer);
  }

  private tick(): void {
    const nowMs = systemClock.monotonicMs();
    this.fromMs = nowMs + this.tickMs;
    for (const timed of this.timed) timed.checkDeadlines(nowMs);
  }
}

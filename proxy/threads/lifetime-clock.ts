import type { Clock } from './clock.ts';

/**
 * The time for lifetimes, the same in all threads: wall time at the start plus monotonic time since. Setting the wall
 * clock back does not lengthen a lifetime. If the wall clock runs ahead, as after the machine has slept, this time
 * follows in whole seconds, because stored entries are older then. It never goes back.
 */
export interface LifetimeStart {
  /** Wall time of the monotonic clock's zero, at the start. */
  readonly zeroMs: number;
  /** One word: the number of seconds by which the wall clock was seen ahead of the monotonic time. */
  readonly ahead: SharedArrayBuffer;
}

export function startLifetimes(clock: Clock): LifetimeStart {
  return { zeroMs: clock.nowMs() - clock.monotonicMs(), ahead: new SharedArrayBuffer(4) };
}

export interface LifetimeClock extends Clock {
  /** Never goes back. */
  nowMs(): number;
  /** The wall clock, to compare with dates of other machines. */
  wallMs(): number;
}

export function createLifetimeClock(clock: Clock, { zeroMs, ahead }: LifetimeStart): LifetimeClock {
  const word = new Int32Array(ahead);
  return {
    nowMs() {
      const seconds = Atomics.load(word, 0);
      const nowMs = zeroMs + clock.monotonicMs() + seconds * 1000;
      const behindMs = clock.nowMs() - nowMs;
      if (behindMs < 1000) return nowMs;
      // If several threads see this at once, only one adds the seconds.
      Atomics.compareExchange(word, 0, seconds, seconds + Math.floor(behindMs / 1000));
      return zeroMs + clock.monotonicMs() + Atomics.load(word, 0) * 1000;
    },
    wallMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
  };
}

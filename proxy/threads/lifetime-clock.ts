import type { Clock } from './clock.ts';

/**
 * The time by which lifetimes count: the wall clock's at the start, and from then on what the monotonic clock adds, in
 * all threads alike. A wall clock that is set back lengthens no lifetime. One that runs ahead, as after the machine has
 * slept, is followed in whole seconds, for what was stored is older then; the time does not come back with it.
 */
export interface LifetimeStart {
  /** Wall time of the monotonic clock's zero, at the start. */
  readonly zeroMs: number;
  /** One word: by how many seconds the wall clock was seen ahead of that. */
  readonly ahead: SharedArrayBuffer;
}

export function startLifetimes(clock: Clock): LifetimeStart {
  return { zeroMs: clock.nowMs() - clock.monotonicMs(), ahead: new SharedArrayBuffer(4) };
}

export interface LifetimeClock extends Clock {
  /** Never goes back. */
  nowMs(): number;
  /** The clock on the wall, for what is compared with other machines' dates. */
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
      // Of threads that see this at once, one counts.
      Atomics.compareExchange(word, 0, seconds, seconds + Math.floor(behindMs / 1000));
      return zeroMs + clock.monotonicMs() + Atomics.load(word, 0) * 1000;
    },
    wallMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
  };
}

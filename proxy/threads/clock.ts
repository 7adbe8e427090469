/** The two clocks that everything is given: wall time for HTTP's dates, monotonic time for durations. */
export interface Clock {
  /** Milliseconds since 1970; may jump, unless it is a `LifetimeClock`'s. */
  nowMs(): number;
  /** The wall clock, where `nowMs` is another time. */
  wallMs?(): number;
  /** Milliseconds from an arbitrary start, the same for every thread of the process; never goes back. */
  monotonicMs(): number;
}

/** `performance` counts from the thread's own start, and `hrtime` costs a BigInt: one is read once, the other each time. */
const performanceZeroMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performanceZeroMs + performance.now(),
};

/** Of a duration, as people and programs are shown it: to the millisecond. */
export function secondsOf(durationMs: number): number {
  return Math.round(durationMs) / 1000;
}

/** For comparison with dates of other machines. */
export function wallMs(clock: Clock): number {
  return clock.wallMs?.() ?? clock.nowMs();
}

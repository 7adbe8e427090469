/** The two clocks of the process: wall time for HTTP's dates, monotonic time for durations. */
export interface Clock {
  /** Milliseconds since 1970; may jump, unless it is a `LifetimeClock`'s. */
  nowMs(): number;
  /** The wall clock, if `nowMs` returns another time. */
  wallMs?(): number;
  /** Milliseconds from an arbitrary start, the same for every thread of the process; never goes back. */
  monotonicMs(): number;
}

const OFFSET_SAMPLES = 16;

/**
 * How far the clock `common` is ahead of `own`, in milliseconds: from the sample whose two readings of `own` lie closest
 * together. The thread may be kept from running between two readings, for as long as the clocks of two threads would then
 * differ.
 */
export function clockOffsetMs(common: () => number, own: () => number): number {
  let offsetMs = 0;
  let closestMs = Infinity;
  for (let i = 0; i < OFFSET_SAMPLES; i += 1) {
    const beforeMs = own();
    const commonMs = common();
    const apartMs = own() - beforeMs;
    if (apartMs >= closestMs) continue;
    closestMs = apartMs;
    offsetMs = commonMs - (beforeMs + apartMs / 2);
  }
  return offsetMs;
}

/** `performance` counts from the thread's start, so `hrtime` gives the common offset once; each `hrtime` costs a BigInt. */
const performanceZeroMs = clockOffsetMs(
  () => Number(process.hrtime.bigint() / 1000n) / 1000,
  () => performance.now(),
);

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performanceZeroMs + performance.now(),
};

/** A duration for output, rounded to the millisecond. */
export function secondsOf(durationMs: number): number {
  return Math.round(durationMs) / 1000;
}

/** The time to compare with dates of other machines. */
export function wallMs(clock: Clock): number {
  return clock.wallMs?.() ?? clock.nowMs();
}

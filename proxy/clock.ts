/** The two clocks that everything is given: wall time for HTTP's dates, monotonic time for durations. */
export interface Clock {
  /** Milliseconds since 1970; may jump. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start, the same for every thread of the process; never goes back. */
  monotonicMs(): number;
}

/** `performance.timeOrigin` differs by thread: `hrtime` does not. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => Number(process.hrtime.bigint() / 1000n) / 1000,
};

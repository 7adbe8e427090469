import type { Clock } from '../../threads/clock.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';

/**
 * The clock for delays of writes and for timed holds. It starts at the wall clock's time or at the last time that an
 * earlier run has noted, whichever is later, and continues with the monotonic clock. A wall clock that is set back
 * therefore prolongs no wait, even across runs. One that is set forward ends no wait of this run.
 */
export class DurableClock {
  readonly #clock: Clock;
  readonly #meta: StateTable;
  /** The time at the zero of the monotonic clock. */
  readonly #zeroMs: number;

  constructor({ state, clock }: { readonly state: StateStore; readonly clock: Clock }) {
    this.#clock = clock;
    this.#meta = state.table('meta');
    const notedMs = this.#meta.get(NOTED)?.readDoubleBE(0) ?? 0;
    this.#zeroMs = Math.max(clock.nowMs(), notedMs) - clock.monotonicMs();
  }

  /** Whole milliseconds since 1970. */
  nowMs(): number {
    return Math.ceil(this.#zeroMs + this.#clock.monotonicMs());
  }

  /** Converts a time of this clock to the wall clock as it is set now. */
  wallMs(durableMs: number): number {
    const aheadMs = this.#clock.nowMs() - this.nowMs();
    // A drift of milliseconds between the clocks would give the same moment another time in each report.
    return Math.abs(aheadMs) < ALIKE_MS ? durableMs : durableMs + aheadMs;
  }

  /** To be called within each change of the state that stores a time of this clock: later runs then start after it. */
  note(): void {
    const value = Buffer.alloc(8);
    value.writeDoubleBE(this.nowMs());
    this.#meta.put(NOTED, value);
  }
}

const NOTED = 'write-time';
const ALIKE_MS = 1_000;

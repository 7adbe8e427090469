import type { Clock } from '../../threads/clock.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';

/**
 * The time by which writes wait. It begins at the wall clock's, or at the last one that an earlier run has noted if that is
 * later, and goes on with the monotonic clock. So a wall clock that is set back makes no write wait longer, even across
 * runs, and one that is set forward ends no wait of this run.
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

  /** In whole milliseconds since 1970. */
  nowMs(): number {
    return Math.ceil(this.#zeroMs + this.#clock.monotonicMs());
  }

  /** The same moment by the wall clock, as it stands now. */
  wallMs(durableMs: number): number {
    const aheadMs = this.#clock.nowMs() - this.nowMs();
    // The clocks drift by milliseconds, which would make the same moment differ in each report.
    return Math.abs(aheadMs) < ALIKE_MS ? durableMs : durableMs + aheadMs;
  }

  /** Within a change of the state that stores a time of this clock: no later run begins before it. */
  note(): void {
    const value = Buffer.alloc(8);
    value.writeDoubleBE(this.nowMs());
    this.#meta.put(NOTED, value);
  }
}

const NOTED = 'write-time';
const ALIKE_MS = 1_000;

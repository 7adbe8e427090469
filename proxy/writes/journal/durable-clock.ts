import type { Clock } from '../../threads/clock.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';

/**
 * The time by which writes wait: the wall clock's at the start, and from then on what the monotonic clock adds. No run
 * begins before what an earlier one has noted. So a wall clock that is set back keeps nothing waiting, whenever that was,
 * and one that is set forward ends no wait of this run.
 */
export class DurableClock {
  readonly #clock: Clock;
  readonly #meta: StateTable;
  /** Of the monotonic clock's zero. */
  readonly #zeroMs: number;

  constructor({ state, clock }: { readonly state: StateStore; readonly clock: Clock }) {
    this.#clock = clock;
    this.#meta = state.table('meta');
    const notedMs = this.#meta.get(NOTED)?.readDoubleBE(0) ?? 0;
    this.#zeroMs = Math.max(clock.nowMs(), notedMs) - clock.monotonicMs();
  }

  /** In whole milliseconds, as the wall clock. */
  nowMs(): number {
    return Math.ceil(this.#zeroMs + this.#clock.monotonicMs());
  }

  /** When that is by the clock on the wall, as it goes now. */
  wallMs(steadyMs: number): number {
    const aheadMs = this.#clock.nowMs() - this.nowMs();
    // The two never run alike to the millisecond.
    return Math.abs(aheadMs) < ALIKE_MS ? steadyMs : steadyMs + aheadMs;
  }

  /** Within a change of the state that writes down what is due by this time. */
  note(): void {
    const value = Buffer.alloc(8);
    value.writeDoubleBE(this.nowMs());
    this.#meta.put(NOTED, value);
  }
}

const NOTED = 'write-time';
const ALIKE_MS = 1_000;

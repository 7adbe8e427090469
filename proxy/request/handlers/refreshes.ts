import type { StoredEntry } from '../../store/entry.ts';
import type { Clock } from '../../threads/clock.ts';
import type { Fetches } from '../../fetch/fetches.ts';
import { fetchRequestOf, waiterOf } from '../fetch-requests.ts';
import type { KeyedContext } from '../context.ts';

export interface RefreshCounters {
  refreshes: number;
  /** Refreshes that were not begun because the bound on those under way was reached. */
  refreshesSkipped: number;
}

/** Revalidates entries in the background while they are served stale (RFC 5861 §3), a bounded number at a time. */
export class Refreshes {
  readonly counters: RefreshCounters = { refreshes: 0, refreshesSkipped: 0 };
  readonly #flights: Fetches;
  readonly #clock: Clock;
  readonly #maxUnderWay: number;
  #underWay = 0;

  constructor(flights: Fetches, clock: Clock, maxUnderWay: number) {
    this.#flights = flights;
    this.#clock = clock;
    this.#maxUnderWay = maxUnderWay;
  }

  begin(context: KeyedContext, stale: StoredEntry): void {
    const request = fetchRequestOf(context, 'background', stale);
    if (this.#flights.isUnderWay(request)) return;
    if (this.#underWay >= this.#maxUnderWay) {
      this.counters.refreshesSkipped += 1;
      return;
    }
    this.#underWay += 1;
    this.counters.refreshes += 1;
    this.#flights.join(request, {
      ...waiterOf(context, this.#clock),
      inform: () => {},
      deliver: (found) => {
        this.#underWay -= 1;
        if (found.kind === 'pass') found.body.desertIfUnread();
      },
    });
  }
}

import type { FetchRequest, Waiter } from './fetch-request.ts';
import type { FetchFlight } from './flight-terms.ts';
import { Flights, type FlightBounds } from './flights.ts';
import {
  FetchSharing,
  type FetchSharingDependencies,
  type FlightCounters,
  type PassedAnswer,
} from './sharing.ts';

export interface FetchesDependencies extends FetchSharingDependencies, FlightBounds {}

/**
 * The fetches of one worker: for one thing that is missing or stale there is one request to the origin, however many
 * wait, on whichever worker.
 */
export class Fetches {
  readonly #sharing: FetchSharing;
  readonly #flights: Flights<FetchFlight>;

  constructor(deps: FetchesDependencies) {
    this.#sharing = new FetchSharing(deps);
    this.#flights = new Flights(this.#sharing, deps);
  }

  get counters(): Readonly<FlightCounters> {
    return this.#sharing.counters;
  }

  /** The number of waiting clients, workers and refreshes. */
  get waiting(): number {
    return this.#flights.waiting;
  }

  get running(): number {
    return this.#flights.running;
  }

  /**
   * Joins a fetch that may answer the waiter, or starts one. Returns what a waiter that leaves calls; false: it was
   * answered before.
   */
  obtain(request: FetchRequest, waiter: Waiter): () => boolean {
    return this.#flights.obtain(request, waiter);
  }

  /** Whether the origin is asked about this already, or is known to fail at it. */
  isUnderWay(request: FetchRequest): boolean {
    const key = this.#sharing.keyOf(request);
    return this.#flights.has(key) || this.#sharing.failureFor(request, key) !== null;
  }

  isHitForMiss(request: FetchRequest): boolean {
    return this.#sharing.isHitForMiss(request);
  }

  /** What was answered to such a request can be stored after all. */
  forgetHitForMiss(request: FetchRequest): void {
    this.#sharing.forgetHitForMiss(request);
  }

  /**
   * What the origin has answered to a request that was passed on, for such responses are each for one alone. Where it
   * fails, those who come later wait for one another again: what it is asked must not grow with the number of clients.
   */
  notePassed(request: FetchRequest, answer: PassedAnswer): void {
    this.#sharing.notePassed(request, answer);
  }
}

import type { FetchRequest, Waiter } from './fetch-request.ts';
import type { FlightCounters } from './flight-counters.ts';
import type { FetchFlight } from './flight-terms.ts';
import { Flights, type FlightBounds } from './flights.ts';
import { FetchSharing, type FetchSharingDependencies, type PassedAnswer } from './sharing.ts';

export interface FetchesDependencies extends FetchSharingDependencies, FlightBounds {}

/**
 * The fetches of one worker. Concurrent requests for the same missing or stale entry share one request to the origin, also
 * across workers.
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
   * Joins a fetch that may answer the waiter, or starts one. Calls `waiter.deliver` once, perhaps before it returns. A waiter
   * that leaves calls the returned function, which returns false if the waiter already has its result.
   */
  join(request: FetchRequest, waiter: Waiter): () => boolean {
    return this.#flights.join(request, waiter);
  }

  /** Whether a fetch with the key of the request is running, or a remembered failure of the origin answers the request. */
  isUnderWay(request: FetchRequest): boolean {
    const key = this.#sharing.keyOf(request);
    return this.#flights.has(key) || this.#sharing.failureFor(request, key) !== null;
  }

  /** Whether recent responses to such requests were private, so that the request is sent without waiting for others. */
  isHitForMiss(request: FetchRequest): boolean {
    return this.#sharing.isHitForMiss(request);
  }

  /** A response to such a request could be stored: later ones are collapsed again. */
  forgetHitForMiss(request: FetchRequest): void {
    this.#sharing.forgetHitForMiss(request);
  }

  /**
   * Records the origin's answer to a request that was not collapsed because of hit-for-miss. A failure that may concern other
   * requests ends hit-for-miss for the key: the requests to a failing origin must not grow with the number of clients.
   */
  notePassed(request: FetchRequest, answer: PassedAnswer): void {
    this.#sharing.notePassed(request, answer);
  }
}

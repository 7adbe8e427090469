import { Flight, type FlightTerms, type FlightTypes } from './flight.ts';

/** Flights of one key that may run at once. Waiters that none of them may answer wait for the next flight (`Slot.next`). */
const FLIGHTS_A_KEY = 2;

/** After this many flights whose result was for another request only, a waiter no longer waits (`again-bounded`). */
const FLIGHTS_IN_VAIN = 2;

/** The operations that flights need from the fetch side, which interprets requests and results. */
export interface FetchPort<T extends FlightTypes> {
  /** Requests with one key may share a flight. */
  keyOf(request: T['request']): string;
  /** A result that answers the request without a flight; null: there is none. */
  knownAnswer(request: T['request'], key: string): T['given'] | null;
  /** Whether the results of such requests can't be shared, so that each request has a flight of its own. */
  asksAlone(request: T['request'], key: string): boolean;
  /** Whether a flight for this request may answer all requests with its key. */
  answersAll(request: T['request']): boolean;
  /** The result for a waiter beyond the limit of waiters. */
  limitAnswer(limit: FlightLimit): T['given'];
  /** The result for a request for which `begin` returned null. */
  goneAnswer(): T['given'];
  /** Prepares a fetch for all waiters that join the flight; null: the request can't be fetched any more. */
  begin(request: T['request'], slot: FlightSlot, events: FetchPortEvents<T>): BegunFetch<T> | null;
  /** Decides what each waiter receives. `hasOthers`: others than the leader wait for this flight or the next. */
  sharesOf(fetch: BegunFetch<T>, slot: FlightSlot, result: T['result'], hasOthers: boolean): FlightShares<T>;
  give(waiter: T['waiter'], given: T['given']): void;
  /** `give` has thrown. */
  giveFailed(error: unknown): void;
}

export type FlightLimit = 'waiters' | 'waiting';

/** The flights of one key, or the only flight of a request that asks alone. */
export interface FlightSlot {
  readonly key: string;
  /** Whether others may join. */
  readonly isShared: boolean;
}

/** The functions of a flight that its fetch calls. */
export interface FetchPortEvents<T extends FlightTypes> {
  /** The waiter whose request is sent; null: it has left, or has its result. */
  leader(): T['waiter'] | null;
  deliver(result: T['result']): void;
  /** The fetch has ended. May be called more than once. */
  over(): void;
}

/** A fetch that is prepared. It calls no event before `start`. */
export interface BegunFetch<T extends FlightTypes> {
  readonly terms: FlightTerms<T>;
  start(): void;
  abandon(): void;
}

export interface FlightShares<T extends FlightTypes> {
  /** Whether waiters that come later may have the result. */
  readonly isJoinable: boolean;
  /** Whether only the leader can use the result. If the leader has left, the fetch is abandoned. */
  readonly isForLeader: boolean;
  readonly leader: FlightShare<T>;
  /** `joinedWith`: `FlightTerms.inForce` when the waiter joined. */
  of(waiter: T['waiter'], request: T['request'], joinedWith: number): FlightShare<T>;
}

export type FlightShare<T extends FlightTypes> =
  | { readonly kind: 'give'; readonly given: T['given'] }
  /** The waiter joins or starts another flight. */
  | { readonly kind: 'again' }
  /** The same, up to `FLIGHTS_IN_VAIN` flights. Then it receives `last`; null: it has a flight of its own. */
  | { readonly kind: 'again-bounded'; readonly last: T['given'] | null }
  /** The waiter has a flight of its own. */
  | { readonly kind: 'alone' };

export interface FlightBounds {
  readonly maxWaiters: number;
  readonly maxWaiting: number;
}

/**
 * The flights of one worker: concurrent requests with one key share a fetch. The port interprets requests and results; this
 * file knows no HTTP.
 */
export class Flights<T extends FlightTypes> {
  readonly #port: FetchPort<T>;
  readonly #bounds: FlightBounds;
  readonly #slots = new Map<string, Slot<T>>();
  /** Flights that no other request may join. */
  readonly #alone = new Set<Slot<T>>();
  #waiting = 0;

  constructor(port: FetchPort<T>, bounds: FlightBounds) {
    this.#port = port;
    this.#bounds = bounds;
  }

  /** The number of waiting clients, workers and refreshes. */
  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    let running = 0;
    for (const slot of this.#slots.values()) running += slot.running.length;
    for (const slot of this.#alone) running += slot.running.length;
    return running;
  }

  has(key: string): boolean {
    return this.#slots.has(key);
  }

  /**
   * Joins a flight that may answer the waiter, or starts one. The waiter receives one result, perhaps before this returns. A
   * waiter that leaves calls the returned function, which returns false if the waiter already has its result.
   */
  join(request: T['request'], waiter: T['waiter']): () => boolean {
    if (this.#waiting >= this.#bounds.maxWaiting) {
      this.#port.give(waiter, this.#port.limitAnswer('waiting'));
      return () => false;
    }
    const place: Place<T> = {
      request,
      waiter,
      slot: null,
      running: null,
      inVain: 0,
      isSettled: false,
    };
    this.#waiting += 1;
    this.#enter(place);
    return () => this.#leave(place);
  }

  #enter(place: Place<T>): void {
    const port = this.#port;
    const key = port.keyOf(place.request);
    const known = port.knownAnswer(place.request, key);
    if (known !== null) {
      this.#give(place, known);
      return;
    }
    if (port.asksAlone(place.request, key)) {
      this.#startAlone(place);
      return;
    }
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { key, running: [], next: [], isShared: true };
      this.#slots.set(key, slot);
    }
    place.slot = slot;
    for (let at = slot.running.length - 1; at >= 0; at -= 1) {
      const running = slot.running[at]!;
      const admitted = running.flight.admits(place.waiter);
      if (admitted === null) continue;
      if (running.flight.waiting >= this.#bounds.maxWaiters) this.#give(place, port.limitAnswer('waiters'));
      else if (admitted.given === null) this.#join(place, running);
      else this.#give(place, admitted.given);
      return;
    }
    if (slot.next.length >= this.#bounds.maxWaiters) this.#give(place, port.limitAnswer('waiters'));
    else if (slot.running.length < FLIGHTS_A_KEY) this.#start(slot, place);
    else slot.next.push(place);
  }

  #join(place: Place<T>, running: RunningFlight<T>): void {
    place.running = running;
    running.flight.join(place);
  }

  /** Starts a flight that no other request may join. Its fetch validates and stores like any other. */
  #startAlone(place: Place<T>): void {
    const key = this.#port.keyOf(place.request);
    const slot: Slot<T> = { key, running: [], next: [], isShared: false };
    place.slot = slot;
    this.#alone.add(slot);
    this.#start(slot, place);
  }

  #start(slot: Slot<T>, place: Place<T>): void {
    const fetch = this.#port.begin(place.request, slot, {
      leader: () => running.flight.leader?.waiter ?? null,
      deliver: (result) => this.#deliver(slot, running, result),
      over: () => this.#over(slot, running),
    });
    if (fetch === null) {
      this.#give(place, this.#port.goneAnswer());
      this.#startNext(slot);
      return;
    }
    const running: RunningFlight<T> = {
      fetch,
      flight: new Flight(fetch.terms),
      isOver: false,
    };
    slot.running.push(running);
    this.#join(place, running);
    fetch.start();
  }

  #deliver(slot: Slot<T>, running: RunningFlight<T>, result: T['result']): void {
    const { flight, fetch } = running;
    const hasOthers = flight.waiting > 1 || slot.next.length > 0;
    const shares = this.#port.sharesOf(fetch, slot, result, hasOthers);
    if (!shares.isJoinable) {
      flight.end();
      this.#detach(slot, running);
    }
    const { leader } = flight;
    const leaving: [Place<T>, FlightShare<T>][] = [];
    for (const [place, joinedWith] of flight.deliver(result)) {
      const share = place === leader ? shares.leader : shares.of(place.waiter, place.request, joinedWith);
      if (share.kind === 'give') this.#give(place, share.given);
      else leaving.push([place, share]);
    }
    // Only after all others have the result: members that enter again may start flights.
    for (const [place, share] of leaving) this.#send(place, share);
    if (shares.isForLeader && leader === null) fetch.abandon();
    this.#startNext(slot);
  }

  /** Carries out the share of a waiter that the result does not answer. */
  #send(place: Place<T>, share: FlightShare<T>): void {
    if (place.isSettled) return;
    switch (share.kind) {
      case 'give':
        this.#give(place, share.given);
        return;
      case 'again':
        this.#enter(place);
        return;
      case 'again-bounded':
        place.inVain += 1;
        if (place.inVain < FLIGHTS_IN_VAIN) this.#enter(place);
        else if (share.last === null) this.#startAlone(place);
        else this.#give(place, share.last);
        return;
      case 'alone':
        this.#startAlone(place);
        return;
      default:
        share satisfies never;
    }
  }

  #over(slot: Slot<T>, running: RunningFlight<T>): void {
    if (running.isOver) return;
    running.isOver = true;
    running.flight.end();
    this.#detach(slot, running);
    this.#startNext(slot);
  }

  #detach(slot: Slot<T>, running: RunningFlight<T>): void {
    const at = slot.running.indexOf(running);
    if (at >= 0) slot.running.splice(at, 1);
  }

  /** One flight starts for all waiters in `next`: it begins after they arrived. Those whose flight may answer all enter first. */
  #startNext(slot: Slot<T>): void {
    if (slot.running.length === 0) this.#alone.delete(slot);
    if (slot.next.length > 0 && slot.running.length < FLIGHTS_A_KEY) {
      const next = slot.next.splice(0);
      const answersAll = (place: Place<T>): boolean => this.#port.answersAll(place.request);
      for (const place of next.filter(answersAll)) this.#enter(place);
      for (const place of next.filter((place) => !answersAll(place))) this.#enter(place);
    }
    if (slot.running.length === 0 && slot.next.length === 0 && this.#slots.get(slot.key) === slot) {
      this.#slots.delete(slot.key);
    }
  }

  #leave(place: Place<T>): boolean {
    if (!this.#settle(place)) return false;
    const { slot, running } = place;
    const queued = slot?.next.indexOf(place) ?? -1;
    if (queued >= 0) slot!.next.splice(queued, 1);
    if (running === null) return true;
    const anybodyLeft = running.flight.leave(place);
    if (!anybodyLeft && running.flight.isAsking) running.fetch.abandon();
    return true;
  }

  #give(place: Place<T>, given: T['given']): void {
    if (!this.#settle(place)) return;
    try {
      this.#port.give(place.waiter, given);
    } catch (error) {
      // The other waiters must still be given theirs, and the fetch must go on.
      this.#port.giveFailed(error);
    }
  }

  #settle(place: Place<T>): boolean {
    if (place.isSettled) return false;
    place.isSettled = true;
    this.#waiting -= 1;
    return true;
  }
}

interface Slot<T extends FlightTypes> extends FlightSlot {
  /** In the order of their start. */
  readonly running: RunningFlight<T>[];
  readonly next: Place<T>[];
}

interface RunningFlight<T extends FlightTypes> {
  readonly fetch: BegunFetch<T>;
  readonly flight: Flight<Place<T>, T>;
  isOver: boolean;
}

/** A waiter, and the flight that it waits for. */
interface Place<T extends FlightTypes> {
  readonly request: T['request'];
  readonly waiter: T['waiter'];
  slot: Slot<T> | null;
  running: RunningFlight<T> | null;
  /** Flights that it waited for and whose result was for another request only. */
  inVain: number;
  isSettled: boolean;
}

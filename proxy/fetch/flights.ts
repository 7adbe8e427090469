import { LRUCache } from 'lru-cache';
import { fieldValue, hasField } from '../../policies/http/fields.ts';
import type { FeedTrust, StoredMeta } from '../../policies/model.ts';
import {
  concerns,
  decideFailure,
  isFailureStatus,
  sentDigest,
  type KnownFailure,
  type OriginTrouble,
} from '../../policies/origin-failures.ts';
import { wantsOrigin } from '../../policies/rfc9111/reuse.ts';
import { isOfOneRequest, isShareable } from '../../policies/rfc9111/sharing.ts';
import { secondaryKey, varyOf } from '../../policies/rfc9111/vary.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import { OriginFetch } from './fetch.ts';
import type { OriginFetchCounters, OriginFetchDependencies } from './fetch-context.ts';
import { Flight, type FlightEvents, type FlightResult, type SharedFailure } from './flight.ts';
import { FailureMemory, type FailureFound } from './failure-memory.ts';
import type { Peers } from './peers/peers.ts';
import type { HitForMiss } from './hit-for-miss.ts';
import type { FetchRequest, Waiter } from './fetch-request.ts';

export interface FlightsDependencies extends OriginFetchDependencies {
  /** null: a single worker. */
  readonly peers: Peers | null;
  readonly hitForMiss: HitForMiss;
  readonly maxWaiters: number;
  readonly maxWaiting: number;
  /** Keys whose failure is remembered. */
  readonly maxFailures: number;
  routeNamed(name: string): ActiveRoute | null;
  trustOf(route: ActiveRoute): FeedTrust;
}

export interface FlightCounters extends OriginFetchCounters {
  /** Flights that asked the origin. */
  asked: number;
  /** Waiters that had the answer to another's request. */
  collapsed: number;
  /** Waiters that left a flight for a later one, for something was invalidated before they came. */
  superseded: number;
  /** Waiters that asked the origin for themselves, for answers to one are no answers to another. */
  alone: number;
  /** Requests that were answered by the origin's failure at another one. */
  failing: number;
  refused: number;
}

/** At most one flight of a key runs and one waits, but for a body that still streams while the next one asks. */
const FLIGHTS_A_KEY = 2;
const KNOWN_VARIES = 10_000;

/** Flights in a row that may end in an answer to one other request alone: whoever waited through them asks for itself. */
const FLIGHTS_IN_VAIN = 2;

/**
 * The flights of one worker: for one thing that is missing or stale there is one request to the origin, however many
 * wait, on whichever worker.
 */
export class Flights {
  readonly counters: FlightCounters = {
    asked: 0,
    collapsed: 0,
    superseded: 0,
    alone: 0,
    failing: 0,
    refused: 0,
    tagsLeftOut: 0,
    conditionsRefused: 0,
  };
  readonly #deps: FlightsDependencies;
  readonly #slots = new Map<string, Slot>();
  /** Flights that nobody joins. */
  readonly #alone = new Set<Slot>();
  /** By primary key, the names that the last answer's Vary gave. */
  readonly #varies = new LRUCache<string, readonly string[]>({ max: KNOWN_VARIES });
  readonly #failures: FailureMemory;
  /** By the waiter that flights see. */
  readonly #places = new Map<Waiter, Place>();
  #waiting = 0;

  constructor(deps: FlightsDependencies) {
    this.#deps = deps;
    this.#failures = new FailureMemory(deps.maxFailures);
  }

  /** Clients, workers and refreshes that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    let running = 0;
    for (const slot of this.#slots.values()) running += slot.flying.length;
    for (const slot of this.#alone) running += slot.flying.length;
    return running;
  }

  /** Whether the origin is asked about this already, or is known to fail at it. */
  isUnderWay(request: FetchRequest): boolean {
    const key = this.#flightKey(request);
    return this.#slots.has(key) || this.#failureFor(request, key) !== null;
  }

  isHitForMiss(request: FetchRequest): boolean {
    const { hitForMiss, clock } = this.#deps;
    const key = this.#flightKey(request);
    const nowMs = clock.monotonicMs();
    // While the origin fails its failure answers, and it is asked by one at a time.
    if (this.#failureFor(request, key) !== null) return false;
    return (
      hitForMiss.has(key, nowMs) || (request.method === 'HEAD' && hitForMiss.has(knownBy(key, 'HEAD'), nowMs))
    );
  }

  /** What was answered to such a request can be stored after all. */
  forgetHitForMiss(request: FetchRequest): void {
    this.#deps.hitForMiss.forget(knownBy(this.#flightKey(request), request.method));
  }

  /**
   * What the origin has answered to a request that was passed on, for such answers are each for one alone. Where it fails,
   * those who come later wait for one another again: what it is asked must not grow with the number of clients.
   */
  notePassed(request: FetchRequest, answer: PassedAnswer): void {
    const key = this.#flightKey(request);
    if (answer.kind === 'answered' && !isFailureStatus(answer.status)) {
      if (!isOfOneRequest(answer.status)) this.#failures.forget(request.key, key);
      return;
    }
    const nowMs = this.#deps.clock.monotonicMs();
    const trouble: OriginTrouble =
      answer.kind === 'answered' ? answer : { kind: 'failed', error: answer.failure.kind };
    const before = this.#failures.last(key, nowMs);
    const failure = decideFailure(trouble, sentDigest(request.method, request.originFields), before);
    if (failure === null) return;
    const terms = { scope: failure.scope, untilMs: this.#rememberedUntilMs(request, nowMs) };
    const found: FailureFound =
      answer.kind === 'answered'
        ? { kind: 'failing', status: answer.status, ...terms }
        : { kind: 'failed', failure: answer.failure, ...terms };
    const isShared = before !== null;
    this.#failures.note(request.key, key, failure, found, isShared, nowMs);
    if (isShared || failure.scope !== 'alike') this.#forgetAlone(request, key);
  }

  /**
   * Joins a flight that may answer the waiter, or starts one. Returns what a waiter that leaves calls; false: it was
   * answered before.
   */
  obtain(request: FetchRequest, waiter: Waiter): () => boolean {
    if (this.#waiting >= this.#deps.maxWaiting) return this.#refuse(waiter, 'waiting');
    const place: Place = { request, waiter, slot: null, flying: null, inVain: 0, isSettled: false };
    place.waiter = this.#counted(waiter, place);
    this.#places.set(place.waiter, place);
    this.#waiting += 1;
    this.#enter(place);
    return () => this.#leave(place);
  }

  #enter(place: Place): void {
    const key = this.#flightKey(place.request);
    const known = this.#failureFor(place.request, key);
    if (known !== null) {
      this.counters.failing += 1;
      place.waiter.take(known);
      return;
    }
    if (this.#asksAlone(place.request, key)) {
      this.#startAlone(place);
      return;
    }
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { key, flying: [], next: [], isShared: true, failure: null };
      this.#slots.set(key, slot);
    }
    place.slot = slot;
    const admitting = slot.flying.findLast(({ flight }) => flight.admits(place.waiter));
    const waiting = admitting?.flight.waiting ?? slot.next.length;
    if (waiting >= this.#deps.maxWaiters) place.waiter.take(this.#refusal('waiters'));
    else if (admitting !== undefined) this.#join(place, admitting);
    else if (slot.flying.length < FLIGHTS_A_KEY) this.#start(slot, place);
    else slot.next.push(place);
  }

  #join(place: Place, flying: Flying): void {
    place.flying = flying;
    flying.flight.join(place.waiter);
  }

  /** Clients that would wait for one another in vain; a refresh that nobody waits for is begun once, as ever. */
  #asksAlone({ priority, method }: FetchRequest, key: string): boolean {
    const { hitForMiss, clock } = this.#deps;
    return priority === 'client' && hitForMiss.has(aloneKey(knownBy(key, method)), clock.monotonicMs());
  }

  /** A flight for one waiter, which validates and stores like any other. */
  #startAlone(place: Place): void {
    const slot: Slot = {
      key: this.#flightKey(place.request),
      flying: [],
      next: [],
      isShared: false,
      failure: null,
    };
    place.slot = slot;
    this.#alone.add(slot);
    this.counters.alone += 1;
    this.#start(slot, place);
  }

  #start(slot: Slot, place: Place): void {
    const { request } = place;
    const route = this.#deps.routeNamed(request.route);
    if (route === null) {
      place.waiter.take({ kind: 'unshareable', reason: 'route' });
      this.#startNext(slot);
      return;
    }
    // Its methods are called only after `flying` is complete.
    const flying: Flying = { flight: null as never, abandon: () => {}, isOver: false };
    const events: FlightEvents = {
      inform: (status, fields) => flying.flight.inform(status, fields),
      deliver: (landing) => this.#land(slot, flying, request, landing),
      over: () => this.#over(slot, flying),
    };
    const { fence, mechanisms, clock, trustOf } = this.#deps;
    const peer = slot.isShared ? (this.#deps.peers?.ownerOf(request.key) ?? null) : null;
    slot.flying.push(flying);
    if (peer !== null) {
      // It answers for all who wait here from now on: what they arrived after, it may not show.
      const asked = { floor: fence.published(), startedAtMs: clock.monotonicMs(), nowMs: clock.nowMs() };
      flying.flight = new Flight({
        fence,
        mechanisms,
        route,
        trustOf,
        method: request.method,
        knownTags: null,
        ...asked,
      });
      this.#join(place, flying);
      flying.abandon = peer.subscribe(request, route, asked, events);
      return;
    }
    this.counters.asked += 1;
    const fetch = new OriginFetch(this.#deps, route, request, events, this.counters);
    flying.flight = new Flight({
      fence,
      mechanisms,
      route,
      trustOf,
      method: request.method,
      knownTags: fetch.knownTags,
      floor: fetch.snapshot.floor,
      startedAtMs: fetch.snapshot.askedAtMs,
    });
    flying.abandon = () => fetch.abandon();
    this.#join(place, flying);
    fetch.start();
  }

  #land(slot: Slot, flying: Flying, request: FetchRequest, landing: FlightResult): void {
    const { hitForMiss, clock } = this.#deps;
    const known = knownBy(slot.key, request.method);
    if (landing.kind === 'entry') {
      const { meta } = landing.entry;
      if (meta.vary.length > 0) this.#varies.set(request.key, meta.vary);
      hitForMiss.forget(known);
      const isShareable = this.#isShareable(request, meta);
      if (isShareable) hitForMiss.forget(aloneKey(known));
      else if (!slot.isShared && !isOfOneRequest(meta.status)) {
        hitForMiss.remember(aloneKey(known), clock.monotonicMs());
      }
    } else {
      if (landing.kind === 'pass' && !isFailureStatus(landing.status) && !isOfOneRequest(landing.status)) {
        // Not stored for what this request sent in fields that Vary names: the answers to others may be.
        const vary = landing.reason === 'vary-too-large' ? varyOf(landing.fields) : null;
        if (vary?.kind === 'names') this.#varies.set(request.key, vary.names);
        hitForMiss.remember(
          vary === null ? known : knownBy(this.#flightKey(request), request.method),
          clock.monotonicMs(),
        );
      }
      flying.flight.end();
      this.#detach(slot, flying);
    }
    const failure = this.#failureAt(slot, flying.flight, request, landing);
    for (const { waiter, why } of flying.flight.land(landing, failure)) {
      if (why === 'invalidated') this.counters.superseded += 1;
      if (why === 'private') hitForMiss.remember(aloneKey(known), clock.monotonicMs());
      const place = this.#places.get(waiter);
      if (place === undefined) continue;
      if (why === 'one-request') this.#enterAgain(place, landing);
      else if (why === 'private') this.#startAlone(place);
      else this.#enter(place);
    }
    if (flying.flight.isForNobody) flying.abandon();
    this.#startNext(slot);
  }

  /** The leader's own request may be to blame, so the next who waits asks for the others; but nobody waits without end. */
  #enterAgain(place: Place, landing: FlightResult): void {
    place.inVain += 1;
    if (place.inVain < FLIGHTS_IN_VAIN) this.#enter(place);
    else if (landing.kind === 'pass') place.waiter.take({ kind: 'unshareable', reason: landing.reason });
    else this.#startAlone(place);
  }

  #over(slot: Slot, flying: Flying): void {
    if (flying.isOver) return;
    flying.isOver = true;
    flying.flight.end();
    this.#detach(slot, flying);
    this.#startNext(slot);
  }

  #detach(slot: Slot, flying: Flying): void {
    const at = slot.flying.indexOf(flying);
    if (at >= 0) slot.flying.splice(at, 1);
  }

  /** Those who wait for any flight get the one that starts now: it begins after all of them came. */
  #startNext(slot: Slot): void {
    if (slot.flying.length === 0) this.#alone.delete(slot);
    if (slot.next.length > 0 && slot.flying.length < FLIGHTS_A_KEY) {
      // A HEAD joins a GET, not the other way round.
      const [gets, heads] = [[] as Place[], [] as Place[]];
      for (const place of slot.next.splice(0)) (place.request.method === 'GET' ? gets : heads).push(place);
      for (const place of gets.concat(heads)) this.#enter(place);
    }
    if (slot.flying.length === 0 && slot.next.length === 0 && this.#slots.get(slot.key) === slot) {
      this.#slots.delete(slot.key);
    }
  }

  #leave(place: Place): boolean {
    if (!this.#settle(place)) return false;
    const { slot, flying, waiter } = place;
    const queued = slot?.next.indexOf(place) ?? -1;
    if (queued >= 0) slot!.next.splice(queued, 1);
    if (flying === null) return true;
    const anybodyLeft = flying.flight.leave(waiter);
    if (!anybodyLeft && flying.flight.isAsking) flying.abandon();
    return true;
  }

  /** The waiter as flights see it: its place is settled when it is answered. */
  #counted(waiter: Waiter, place: Place): Waiter {
    return {
      arrival: waiter.arrival,
      arrivedAtMs: waiter.arrivedAtMs,
      waitsSinceMs: waiter.waitsSinceMs,
      request: waiter.request,
      inform: (status, fields) => waiter.inform(status, fields),
      take: (found) => {
        if (!this.#settle(place)) return;
        if (found.kind === 'entry' && found.collapsed) this.counters.collapsed += 1;
        waiter.take(found);
      },
    };
  }

  /** What a landing says of the origin, where it says that it fails; it is remembered then, and else forgotten. */
  #failureAt(slot: Slot, flight: Flight, request: FetchRequest, landing: FlightResult): SharedFailure | null {
    const trouble = this.#troubleOf(request, landing);
    if (trouble === null) {
      const status = statusOf(landing);
      if (status !== null && !isOfOneRequest(status)) {
        slot.failure = null;
        this.#failures.forget(request.key, slot.key);
      }
      return null;
    }
    const nowMs = this.#deps.clock.monotonicMs();
    const sent = sentDigest(request.method, request.originFields);
    const before = slot.failure ?? this.#failures.last(slot.key, nowMs);
    const told = 'told' in landing ? landing.told : null;
    const failure = told === null ? decideFailure(trouble, sent, before) : { scope: told.scope, sent };
    if (failure === null) return null;
    const untilMs = told?.untilMs ?? this.#rememberedUntilMs(request, nowMs);
    const terms = { scope: failure.scope, untilMs };
    const found: FailureFound =
      landing.kind === 'failed'
        ? { kind: 'failed', failure: landing.failure, ...terms }
        : { kind: 'failing', status: trouble.kind === 'answered' ? trouble.status : 502, ...terms };
    slot.failure = failure;
    // One client alone that tries again is told what the origin says.
    const isShared = told !== null || before !== null || flight.waiting > 1 || slot.next.length > 0;
    this.#failures.note(request.key, slot.key, failure, found, isShared, nowMs);
    if (isShared || failure.scope !== 'alike') this.#forgetAlone(request, slot.key);
    return {
      // Another worker remembers it for as long as this one does.
      found: isShared ? found : { ...found, untilMs: 0 },
      concerns: (waiter) => {
        const other = this.#places.get(waiter)?.request;
        const isConcerned = other !== undefined && concerns(failure, other.method, other.originFields);
        if (isConcerned) this.counters.failing += 1;
        return isConcerned;
      },
    };
  }

  #rememberedUntilMs({ route }: FetchRequest, nowMs: number): number {
    const ttlMs = this.#deps.routeNamed(route)?.config.cache.failureTtlMs ?? 0;
    return ttlMs === 0 ? 0 : nowMs + ttlMs;
  }

  /**
   * Those who come while the origin fails wait for one another, though its answers are each for one alone: the first that is
   * no failure ends that.
   */
  #forgetAlone({ method }: FetchRequest, key: string): void {
    const { hitForMiss } = this.#deps;
    for (const known of new Set([key, knownBy(key, method)])) {
      hitForMiss.forget(known);
      hitForMiss.forget(aloneKey(known));
    }
  }

  /** An error that may be used again, as the origin says itself, is an answer like others. */
  #troubleOf(request: FetchRequest, landing: FlightResult): OriginTrouble | null {
    switch (landing.kind) {
      case 'pass':
        return isFailureStatus(landing.status) ? { kind: 'answered', status: landing.status } : null;
      case 'entry': {
        const { status } = landing.entry.meta;
        const isTrouble = isFailureStatus(status) && !this.#isShareable(request, landing.entry.meta);
        return isTrouble ? { kind: 'answered', status } : null;
      }
      case 'failing':
        return { kind: 'answered', status: landing.status };
      case 'failed':
        return { kind: 'failed', error: landing.failure.kind };
      case 'unshareable':
      case 'refused':
      case 'owner-lost':
        return null;
      default:
        return landing satisfies never;
    }
  }

  /** What is remembered of the origin's failure, where it answers the request; who demands the origin's answer asks. */
  #failureFor(request: FetchRequest, key: string): FailureFound | null {
    const found = this.#failures.answerTo(request, key, this.#deps.clock.monotonicMs());
    if (found === null) return null;
    const policy = this.#deps.routeNamed(request.route)?.config.cache;
    return policy === undefined || wantsOrigin(request.request, policy) ? null : found;
  }

  #isShareable({ route: name }: FetchRequest, meta: StoredMeta): boolean {
    const route = this.#deps.routeNamed(name);
    return route !== null && isShareable(meta, route.config.cache);
  }

  #settle(place: Place): boolean {
    if (place.isSettled) return false;
    place.isSettled = true;
    this.#waiting -= 1;
    this.#places.delete(place.waiter);
    return true;
  }

  #refuse(waiter: Waiter, limit: 'waiting'): () => boolean {
    waiter.take(this.#refusal(limit));
    return () => false;
  }

  #refusal(limit: 'waiters' | 'waiting') {
    this.counters.refused += 1;
    return { kind: 'refused', limit } as const;
  }

  /**
   * One flight a variant, as far as the variants are known; requests with credentials, and for parts, have flights of their
   * own.
   */
  #flightKey({ key, request, asksPart, route }: FetchRequest): string {
    const names = this.#varies.get(key);
    const variant =
      names === undefined ? '' : `\n\n${secondaryKey(names, request, this.#maxVaryBytes(route))}`;
    const credentials = hasField(request.fields, 'authorization') ? '\n\nauthorization' : '';
    const part = asksPart
      ? `\n\npart ${fieldValue(request.fields, 'range')}\n${fieldValue(request.fields, 'if-range')}`
      : '';
    return `${key}${variant}${credentials}${part}`;
  }

  #maxVaryBytes(route: string): number {
    return this.#deps.routeNamed(route)?.config.cache.maxVaryBytes ?? 0;
  }
}

/** What the origin answers to a HEAD is not taken for what it would answer to a GET: some leave fields out. */
function knownBy(key: string, method: FetchRequest['method']): string {
  return method === 'GET' ? key : `${key}\n\nhead`;
}

/** Under which it is remembered that the answers to a key's requests are each for one of them, though they are stored. */
function aloneKey(key: string): string {
  return `${key}\n\nalone`;
}

/** Of the origin's answer; null: it gave none. */
function statusOf(landing: FlightResult): number | null {
  if (landing.kind === 'entry') return landing.entry.meta.status;
  return landing.kind === 'pass' ? landing.status : null;
}

/** Of a request that was passed on. */
export type PassedAnswer =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'failed'; readonly failure: OriginFailure };

interface Slot {
  readonly key: string;
  /** In the order of their start. */
  readonly flying: Flying[];
  readonly next: Place[];
  /** Whether others may join. */
  readonly isShared: boolean;
  /** At the last request, where the origin failed. */
  failure: KnownFailure | null;
}

interface Flying {
  flight: Flight;
  abandon: () => void;
  isOver: boolean;
}

/** Where a waiter stands. */
interface Place {
  readonly request: FetchRequest;
  waiter: Waiter;
  slot: Slot | null;
  flying: Flying | null;
  /** Flights that it waited through, and that ended in an answer to one other request alone. */
  inVain: number;
  isSettled: boolean;
}

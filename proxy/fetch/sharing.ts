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
import type { ActiveRoute } from '../origins/active-route.ts';
import { FailureMemory, type FailureFound } from './failure-memory.ts';
import type { OriginFetchDependencies } from './fetch-context.ts';
import type { FetchedEntry, FetchRequest, FetchResult, Waiter } from './fetch-request.ts';
import { OriginFetch } from './fetch.ts';
import { newFlightCounters } from './flight-counters.ts';
import type { FetchEvents, FlightResult } from './flight-result.ts';
import { collapsed, FetchTerms, type FetchFlight } from './flight-terms.ts';
import type {
  BegunFetch,
  FetchPort,
  FetchPortEvents,
  FlightLimit,
  FlightShare,
  FlightShares,
  FlightSlot,
} from './flights.ts';
import { OF, type HitForMiss, type HitForMissOf } from './hit-for-miss.ts';
import type { Peers } from './peers/peers.ts';

export interface FetchSharingDependencies extends OriginFetchDependencies {
  /** null: a single worker. */
  readonly peers: Peers | null;
  readonly hitForMiss: HitForMiss;
  /** How many keys' failures are remembered at most. */
  readonly maxFailures: number;
  routeNamed(name: string): ActiveRoute | null;
  trustOf(route: ActiveRoute): FeedTrust;
}

/** The origin's answer to a request that was not collapsed. */
export type PassedAnswer =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'failed'; readonly failure: OriginFailure };

/** What a fetch's failure means for other requests. */
interface SharedFailure {
  readonly failure: KnownFailure;
  readonly found: FailureFound;
}

interface Begun extends BegunFetch<FetchFlight> {
  readonly terms: FetchTerms;
}

const KNOWN_VARIES = 10_000;

/**
 * The HTTP side of flights: which requests may share a fetch, which waiters its result answers, and the memory of
 * private responses and of failures. The rules are in `policies/rfc9111/sharing.ts` and
 * `policies/origin-failures.ts`.
 */
export class FetchSharing implements FetchPort<FetchFlight> {
  readonly counters = newFlightCounters();
  readonly #deps: FetchSharingDependencies;
  /** By primary key: the field names of the last response's Vary. */
  readonly #varies = new LRUCache<string, readonly string[]>({ max: KNOWN_VARIES });
  readonly #failures: FailureMemory;
  /** The failure of the slot's last fetch, if it failed. */
  readonly #lastFailures = new WeakMap<FlightSlot, KnownFailure>();

  constructor(deps: FetchSharingDependencies) {
    this.#deps = deps;
    this.#failures = new FailureMemory(deps.maxFailures);
  }

  isHitForMiss(request: FetchRequest): boolean {
    const { hitForMiss, clock } = this.#deps;
    const key = this.keyOf(request);
    const nowMs = clock.monotonicMs();
    // While a remembered failure answers requests, the origin receives one request at a time.
    if (this.failureFor(request, key) !== null) return false;
    return (
      hitForMiss.has(key, OF.get, nowMs) || (request.method === 'HEAD' && hitForMiss.has(key, OF.head, nowMs))
    );
  }

  forgetHitForMiss(request: FetchRequest): void {
    this.#deps.hitForMiss.forget(this.keyOf(request), methodOf(request));
  }

  notePassed(request: FetchRequest, answer: PassedAnswer): void {
    const key = this.keyOf(request);
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

  /** The remembered failure that answers the request; null: there is none, or the request demands the origin's response. */
  failureFor(request: FetchRequest, key: string): FailureFound | null {
    const found = this.#failures.answerTo(request, key, this.#deps.clock.monotonicMs());
    if (found === null) return null;
    const policy = this.#deps.routeNamed(request.route)?.config.cache;
    return policy === undefined || wantsOrigin(request.request, policy) ? null : found;
  }

  /**
   * The flight key: one for each variant, as far as the variants are known. Requests with Authorization, and requests for a
   * part, have keys of their own.
   */
  keyOf({ key, request, asksPart, route }: FetchRequest): string {
    const names = this.#varies.get(key);
    const variant =
      names === undefined ? '' : `\n\n${secondaryKey(names, request, this.#maxVaryBytes(route))}`;
    const credentials = hasField(request.fields, 'authorization') ? '\n\nauthorization' : '';
    const part = asksPart
      ? `\n\npart ${fieldValue(request.fields, 'range')}\n${fieldValue(request.fields, 'if-range')}`
      : '';
    return `${key}${variant}${credentials}${part}`;
  }

  knownAnswer(request: FetchRequest, key: string): FetchResult | null {
    const known = this.failureFor(request, key);
    if (known !== null) this.counters.failing += 1;
    return known;
  }

  /** True for a client's request if the key's responses are known to be private. Background refreshes are always collapsed. */
  asksAlone(request: FetchRequest, key: string): boolean {
    const { hitForMiss, clock } = this.#deps;
    if (request.priority !== 'client') return false;
    return hitForMiss.has(key, methodOf(request) | OF.alone, clock.monotonicMs());
  }

  /** A HEAD may join the flight of a GET; a GET can't join the flight of a HEAD. */
  answersAll({ method }: FetchRequest): boolean {
    return method === 'GET';
  }

  limitAnswer(limit: FlightLimit): FetchResult {
    this.counters.refused += 1;
    return { kind: 'refused', limit };
  }

  goneAnswer(): FetchResult {
    return { kind: 'private', reason: 'route' };
  }

  give(waiter: Waiter, given: FetchResult): void {
    if (given.kind === 'entry' && given.collapsed) this.counters.collapsed += 1;
    waiter.deliver(given);
  }

  giveFailed(error: unknown): void {
    this.#deps.onInternalError(error);
  }

  /** Prepares a request to the origin, or a subscription at the worker that owns the key. */
  begin(request: FetchRequest, slot: FlightSlot, flight: FetchPortEvents<FetchFlight>): Begun | null {
    if (!slot.isShared) this.counters.alone += 1;
    const { fence, mechanisms, clock, trustOf, peers, routeNamed } = this.#deps;
    const route = routeNamed(request.route);
    if (route === null) return null;
    const events: FetchEvents = {
      // Only the client whose request caused an interim response receives it.
      inform: (status, fields) => flight.leader()?.inform(status, fields),
      deliver: (result) => flight.deliver(result),
      over: () => flight.over(),
    };
    const claim = slot.isShared && peers !== null ? peers.claimFlight(request.key) : 'unclaimed';
    const shared = { fence, mechanisms, route, request, trustOf };
    if (typeof claim === 'object') {
      // This request stands for all current waiters: its result must show all invalidations before they arrived.
      const asked = { floor: fence.published(), startedAtMs: clock.monotonicMs(), nowMs: clock.nowMs() };
      let abandon = (): void => {};
      return {
        terms: new FetchTerms({ ...shared, ...asked, knownTags: null }),
        start: () => {
          abandon = claim.subscribe(request, route, asked, events);
        },
        abandon: () => abandon(),
      };
    }
    this.counters.asked += 1;
    const own = claim === 'claimed' ? { ...events, over: this.#releasing(request.key, events.over) } : events;
    const fetch = new OriginFetch(this.#deps, route, request, own, this.counters);
    const { floor, askedAtMs } = fetch.snapshot;
    return {
      terms: new FetchTerms({ ...shared, knownTags: fetch.knownTags, floor, startedAtMs: askedAtMs }),
      start: () => fetch.start(),
      abandon: () => fetch.abandon(),
    };
  }

  /** Releases the claim once, after a flight that is to follow in this worker has claimed the key as well. */
  #releasing(key: string, over: () => void): () => void {
    let isClaimed = true;
    return () => {
      over();
      if (isClaimed) this.#deps.peers?.releaseFlight(key);
      isClaimed = false;
    };
  }

  sharesOf(
    { terms }: Begun,
    slot: FlightSlot,
    result: FlightResult,
    hasOthers: boolean,
  ): FlightShares<FetchFlight> {
    const { request } = terms;
    this.#rememberSharing(request, slot, result);
    const failure = this.#failureAt(slot, request, result, hasOthers);
    return {
      isJoinable: result.kind === 'entry',
      isForLeader: result.kind === 'pass',
      leader: leaderShare(result, failure),
      of: (waiter, of, joinedAt) =>
        failure === null
          ? this.#share(terms, slot, result, waiter, joinedAt)
          : this.#failureShare(failure, of),
    };
  }

  /** Remembers whether later requests are collapsed. */
  #rememberSharing(request: FetchRequest, slot: FlightSlot, result: FlightResult): void {
    const { hitForMiss, clock } = this.#deps;
    const of = methodOf(request);
    if (result.kind === 'entry') {
      const { meta } = result.entry;
      if (meta.vary.length > 0) this.#varies.set(request.key, meta.vary);
      hitForMiss.forget(slot.key, of);
      if (this.#isShareable(request, meta)) hitForMiss.forget(slot.key, of | OF.alone);
      else if (!slot.isShared && !isOfOneRequest(meta.status)) {
        hitForMiss.remember(slot.key, of | OF.alone, clock.monotonicMs());
      }
    } else if (result.kind === 'pass' && !isFailureStatus(result.status) && !isOfOneRequest(result.status)) {
      // This request sent too much in the fields that Vary names: responses to other requests may be stored.
      const vary = result.reason === 'vary-too-large' ? varyOf(result.fields) : null;
      if (vary?.kind === 'names') this.#varies.set(request.key, vary.names);
      hitForMiss.remember(vary === null ? slot.key : this.keyOf(request), of, clock.monotonicMs());
    }
  }

  /** The share of a waiter whose request was not sent. */
  #share(
    terms: FetchTerms,
    slot: FlightSlot,
    result: FlightResult,
    waiter: Waiter,
    joinedAt: number,
  ): FlightShare<FetchFlight> {
    switch (result.kind) {
      case 'entry':
        return this.#entryShare(terms, slot, result, waiter, joinedAt);
      case 'pass': {
        const alone = { kind: 'private', reason: result.reason } as const;
        return isOfOneRequest(result.status)
          ? { kind: 'again-bounded', last: alone }
          : { kind: 'give', given: alone };
      }
      case 'failed':
      case 'failing':
        return { kind: 'give', given: failureOf(result) };
      case 'private':
      case 'refused':
        return { kind: 'give', given: result };
      case 'owner-lost':
        return AGAIN;
      case 'owner-moved':
        return AGAIN_OR_ALONE;
      default:
        return result satisfies never;
    }
  }

  #entryShare(
    terms: FetchTerms,
    slot: FlightSlot,
    result: FetchedEntry,
    waiter: Waiter,
    joinedAt: number,
  ): FlightShare<FetchFlight> {
    const departure = terms.departure(waiter, joinedAt, result.entry);
    switch (departure) {
      case null:
        return { kind: 'give', given: collapsed(result) };
      case 'vary':
        return AGAIN;
      case 'invalidated':
        this.counters.superseded += 1;
        return AGAIN;
      case 'private': {
        const { hitForMiss, clock } = this.#deps;
        hitForMiss.remember(slot.key, methodOf(terms.request) | OF.alone, clock.monotonicMs());
        return { kind: 'alone' };
      }
      case 'one-request':
        return { kind: 'again-bounded', last: null };
      default:
        return departure satisfies never;
    }
  }

  /** The share of a waiter after a failure: the failure if it concerns the request, otherwise another flight. */
  #failureShare({ failure, found }: SharedFailure, request: FetchRequest): FlightShare<FetchFlight> {
    if (!concerns(failure, request.method, request.originFields)) return AGAIN;
    this.counters.failing += 1;
    return { kind: 'give', given: found };
  }

  /**
   * The failure that the result shows, which is then remembered. Null: the result shows none that concerns other requests; a
   * response without a failure ends the memory of earlier ones.
   */
  #failureAt(
    slot: FlightSlot,
    request: FetchRequest,
    result: FlightResult,
    hasOthers: boolean,
  ): SharedFailure | null {
    const trouble = this.#troubleOf(request, result);
    if (trouble === null) {
      const status = statusOf(result);
      if (status !== null && !isOfOneRequest(status)) {
        this.#lastFailures.delete(slot);
        this.#failures.forget(request.key, slot.key);
      }
      return null;
    }
    const nowMs = this.#deps.clock.monotonicMs();
    const sent = sentDigest(request.method, request.originFields);
    const before = this.#lastFailures.get(slot) ?? this.#failures.last(slot.key, nowMs);
    const judged = 'judged' in result ? result.judged : null;
    const failure = judged === null ? decideFailure(trouble, sent, before) : { scope: judged.scope, sent };
    if (failure === null) return null;
    const untilMs = judged?.untilMs ?? this.#rememberedUntilMs(request, nowMs);
    const terms = { scope: failure.scope, untilMs };
    const found: FailureFound =
      result.kind === 'failed'
        ? { kind: 'failed', failure: result.failure, ...terms }
        : { kind: 'failing', status: trouble.kind === 'answered' ? trouble.status : 502, ...terms };
    this.#lastFailures.set(slot, failure);
    // A single client that retries receives the origin's new response.
    const isShared = judged !== null || before !== null || hasOthers;
    this.#failures.note(request.key, slot.key, failure, found, isShared, nowMs);
    this.#keepClaim(request.key, untilMs - nowMs);
    if (isShared || failure.scope !== 'alike') this.#forgetAlone(request, slot.key);
    // The subscribed workers remember the failure until the same time; 0 keeps them from remembering it.
    return { failure, found: isShared ? found : { ...found, untilMs: 0 } };
  }

  /** While this worker remembers a failure, other workers ask it for flights of the key and get the failure. */
  #keepClaim(key: string, forMs: number): void {
    const { peers } = this.#deps;
    if (peers === null || forMs <= 0 || peers.claimFlight(key) !== 'claimed') return;
    setTimeout(() => peers.releaseFlight(key), forMs).unref();
  }

  #rememberedUntilMs({ route }: FetchRequest, nowMs: number): number {
    const ttlMs = this.#deps.routeNamed(route)?.config.cache.failureTtlMs ?? 0;
    return ttlMs === 0 ? 0 : nowMs + ttlMs;
  }

  /**
   * Lets requests collapse while the origin fails, although its responses were private. The next private response that is no
   * failure is remembered again.
   */
  #forgetAlone(request: FetchRequest, key: string): void {
    const { hitForMiss } = this.#deps;
    for (const of of new Set([OF.get, methodOf(request)])) {
      hitForMiss.forget(key, of);
      hitForMiss.forget(key, of | OF.alone);
    }
  }

  /** The failure that the result shows; null: none. An error response that may be shared is no failure. */
  #troubleOf(request: FetchRequest, result: FlightResult): OriginTrouble | null {
    switch (result.kind) {
      case 'pass':
        return isFailureStatus(result.status) ? { kind: 'answered', status: result.status } : null;
      case 'entry': {
        const { status } = result.entry.meta;
        const isTrouble = isFailureStatus(status) && !this.#isShareable(request, result.entry.meta);
        return isTrouble ? { kind: 'answered', status } : null;
      }
      case 'failing':
        return { kind: 'answered', status: result.status };
      case 'failed':
        return { kind: 'failed', error: result.failure.kind };
      case 'private':
      case 'refused':
      case 'owner-lost':
      case 'owner-moved':
        return null;
      default:
        return result satisfies never;
    }
  }

  #isShareable({ route: name }: FetchRequest, meta: StoredMeta): boolean {
    const route = this.#deps.routeNamed(name);
    return route !== null && isShareable(meta, route.config.cache);
  }

  #maxVaryBytes(route: string): number {
    return this.#deps.routeNamed(route)?.config.cache.maxVaryBytes ?? 0;
  }
}

const AGAIN = { kind: 'again' } as const;
const AGAIN_OR_ALONE = { kind: 'again-bounded', last: null } as const;

/** The share of the waiter whose own request was sent. */
function leaderShare(result: FlightResult, failure: SharedFailure | null): FlightShare<FetchFlight> {
  switch (result.kind) {
    case 'owner-lost':
      return AGAIN;
    case 'owner-moved':
      return AGAIN_OR_ALONE;
    case 'failed':
    case 'failing':
      return { kind: 'give', given: failure?.found ?? failureOf(result) };
    case 'entry':
    case 'pass':
    case 'private':
    case 'refused':
      return { kind: 'give', given: result };
    default:
      return result satisfies never;
  }
}

/** A failure as waiters receive it. Without `judged` it answers only the current waiters and is not remembered. */
function failureOf(result: FlightResult & { readonly kind: 'failed' | 'failing' }): FailureFound {
  const terms = result.judged ?? { scope: 'all', untilMs: 0 };
  return result.kind === 'failed'
    ? { kind: 'failed', failure: result.failure, ...terms }
    : { kind: 'failing', status: result.status, ...terms };
}

/** The status of the origin's response; null: the result has none. */
function statusOf(result: FlightResult): number | null {
  if (result.kind === 'entry') return result.entry.meta.status;
  return result.kind === 'pass' ? result.status : null;
}

function methodOf({ method }: Pick<FetchRequest, 'method'>): HitForMissOf {
  return method === 'GET' ? OF.get : OF.head;
}

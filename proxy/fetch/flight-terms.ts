import type { FeedTrust } from '../../policies/model.ts';
import { wantsOrigin } from '../../policies/rfc9111/reuse.ts';
import { decideSharing, isOfOneRequest } from '../../policies/rfc9111/sharing.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { ActiveRoute } from '../origins/active-route.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { FetchedEntry, FetchRequest, FetchResult, Waiter } from './fetch-request.ts';
import type { FlightResult } from './flight-result.ts';
import type { FlightTerms } from './flight.ts';

/** The types of the flights of fetches. */
export interface FetchFlight {
  request: FetchRequest;
  waiter: Waiter;
  result: FlightResult;
  given: FetchResult;
}

/** Why a flight's result can't answer a waiter. */
export type DepartureReason =
  | 'invalidated'
  | 'vary'
  /** The response was private to the client whose request was sent. */
  | 'private'
  /** Private too, but perhaps because of what that request carried: the response to another request may be shared. */
  | 'one-request';

export interface FetchTermsOptions {
  readonly fence: FenceReader;
  readonly mechanisms: Mechanisms;
  /** Tags of every response to this request; null: another worker asks the origin. */
  readonly knownTags: TagHashes | null;
  /** The fence's sequence before the request was sent, to the origin or to another worker. */
  readonly floor: number;
  /** Monotonic time when `floor` was read. */
  readonly startedAtMs: number;
  readonly route: ActiveRoute;
  /** The request that is sent. */
  readonly request: FetchRequest;
  trustOf(route: ActiveRoute): FeedTrust;
}

/** Decides which waiters the result of a fetch may answer, by the fence, the feed and the rules of reuse. */
export class FetchTerms implements FlightTerms<FetchFlight> {
  readonly request: FetchRequest;
  readonly #options: FetchTermsOptions;

  constructor(options: FetchTermsOptions) {
    this.request = options.request;
    this.#options = options;
  }

  /** The fence's sequence. */
  inForce(): number {
    return this.#options.fence.published();
  }

  /** Before the response's head, only `knownTags` of its tags are known. */
  mayAwait(waiter: Waiter): boolean {
    if (!this.#hasContentFor(waiter)) return false;
    const { knownTags, floor, startedAtMs, route, trustOf } = this.#options;
    const isLate = waiter.waitsSinceMs > startedAtMs;
    // A request that demands validation can't join a fetch that began before it arrived.
    if (isLate && wantsOrigin(waiter.request, route.config.cache)) return false;
    // While the feed is lost, a change from before the arrival comes into force only when the feed is live again.
    if (isLate && trustOf(route) === 'revalidate') return false;
    return knownTags === null || !this.#isSuperseded(waiter, null, knownTags, floor, false);
  }

  given(waiter: Waiter, result: FlightResult): FetchResult | null {
    if (result.kind !== 'entry' || !this.#hasContentFor(waiter)) return null;
    const { body, entry } = result;
    if (body !== null && (body.state.kind === 'cut' || !body.reachesBack)) return null;
    return this.departure(waiter, null, entry) === null ? collapsed(result) : null;
  }

  /** Null: the entry may answer the waiter. `joinedAt`: the fence's sequence when the waiter joined; null: it joins now. */
  departure(waiter: Waiter, joinedAt: number | null, entry: StoredEntry): DepartureReason | null {
    const { route, startedAtMs, trustOf } = this.#options;
    const decision = decideSharing({
      meta: entry.meta,
      request: waiter.request,
      trust: trustOf(route),
      policy: route.config.cache,
      arrivedAtMs: waiter.arrivedAtMs,
      isAskedSince: waiter.waitsSinceMs <= startedAtMs,
    });
    switch (decision.kind) {
      case 'other-variant':
        return 'vary';
      case 'private':
        return isOfOneRequest(entry.meta.status) ? 'one-request' : 'private';
      case 'superseded':
        return 'invalidated';
      case 'share':
        break;
      default:
        return decision satisfies never;
    }
    // An entry that another worker found valid is valid up to the floor at which that worker was asked.
    const floor = Math.max(entry.floor, this.#options.floor);
    return this.#isSuperseded(waiter, joinedAt, entry.tagHashes, floor, entry.possiblyStale)
      ? 'invalidated'
      : null;
  }

  /** A HEAD's response has no content for a GET; a GET's response also answers a HEAD. */
  #hasContentFor(waiter: Waiter): boolean {
    return this.request.method === 'GET' || waiter.request.method === 'HEAD';
  }

  /**
   * Whether an invalidation that this flight's result may not show was in force when the waiter arrived or joined; `joinedAt`
   * null: it joins now. The join counts because a feed that has caught up since the arrival may have published changes from
   * before it.
   */
  #isSuperseded(
    waiter: Waiter,
    joinedAt: number | null,
    tags: TagHashes,
    floor: number,
    possiblyStale: boolean,
  ): boolean {
    const { fence, mechanisms, route, startedAtMs, trustOf } = this.#options;
    if (!mechanisms.arrivalInFlights) return false;
    // The feed's trust is read before the fence, as in `judge`.
    const trust = trustOf(route);
    const until = Math.max(waiter.arrival, joinedAt ?? fence.published());
    if (fence.invalidatedBetween(tags, floor, until)) return true;
    // A request that arrived before the fetch began may use the result as it is.
    if (waiter.waitsSinceMs <= startedAtMs) return false;
    // A possibly stale result may show the state before an invalidation whose read lag had passed when the waiter arrived.
    // While the feed is not live, a change that it has not delivered yet may have been committed since the fetch began.
    return possiblyStale || trust === 'revalidate';
  }
}

/** The result for a waiter whose request was not sent. */
export function collapsed(result: FetchedEntry): FetchResult {
  return { ...result, collapsed: true, ownFields: [] };
}

import type { Fields } from '../../policies/http/fields.ts';
import type { FeedTrust, NotStoredReason } from '../../policies/model.ts';
import { wantsOrigin } from '../../policies/rfc9111/reuse.ts';
import { decideSharing, isOfOneRequest } from '../../policies/rfc9111/sharing.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import type { FlightBody } from '../store/body.ts';
import type { FailureTerms, FetchResult, Waiter } from './fetch-request.ts';

/** What a flight came back with, before it is given to those who wait. */
export type FlightResult =
  | {
      readonly kind: 'entry';
      readonly entry: StoredEntry;
      readonly body: FlightBody | null;
      readonly originStatus: number | null;
      readonly collapsed: boolean;
      /** Fields of the origin's answer that are for the one who asked alone, and not stored. */
      readonly ownFields: Fields;
    }
  | {
      readonly kind: 'pass';
      readonly status: number;
      readonly fields: Fields;
      readonly body: FlightBody;
      readonly reason: NotStoredReason;
    }
  | { readonly kind: 'unshareable'; readonly reason: NotStoredReason }
  /** `told`: as another worker has judged it. */
  | { readonly kind: 'failed'; readonly failure: OriginFailure; readonly told: FailureTerms | null }
  | { readonly kind: 'failing'; readonly status: number; readonly told: FailureTerms }
  | { readonly kind: 'refused'; readonly limit: 'waiters' | 'waiting' }
  /** The worker that it ran in has died: everybody starts anew. */
  | { readonly kind: 'owner-lost' };

/** Told by whoever asks on behalf of a flight. */
export interface FlightEvents {
  inform(status: number, fields: Fields): void;
  deliver(result: FlightResult): void;
  /** Everything is over: the entry, if there is one, can be found in the tiers. May be told more than once. */
  over(): void;
}

/** Why a waiter can't have what the flight came back with, and waits for another. */
export type DepartureReason =
  | 'invalidated'
  | 'vary'
  | 'owner-lost'
  /** The answer was for the one alone whose request was sent: it asks for itself. */
  | 'private'
  /** So it was, and maybe for what that request carried: the answer to another may be shared. */
  | 'one-request'
  /** The origin has failed at the leader's request, and may not fail at this one. */
  | 'failed';

/** The origin has failed at the leader's request: who else has that for an answer, and which. */
export interface SharedFailure {
  readonly found: FetchResult & { readonly kind: 'failed' | 'failing' };
  concerns(waiter: Waiter): boolean;
}

/**
 * One request to the origin and everybody who waits for it. It is asked once; who may have the answer is judged when its
 * head, and so its tags, are known, and before the first byte goes out.
 */
export class Flight {
  readonly #deps: FlightDependencies;
  /** With the fence's sequence when each joined, at which the feed was trusted as it was then. */
  readonly #waiters = new Map<Waiter, number>();
  #leader: Waiter | null = null;
  #leaderTook = false;
  #landing: FlightResult | null = null;
  #ended = false;

  constructor(deps: FlightDependencies) {
    this.#deps = deps;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** An answer for the one who asked alone, who has left meanwhile. */
  get isForNobody(): boolean {
    return this.#landing?.kind === 'pass' && !this.#leaderTook;
  }

  get isAsking(): boolean {
    return this.#landing === null && !this.#ended;
  }

  /**
   * Whether this flight may answer the waiter, as far as is known: before the head only the tags that every answer to
   * the request will bear, after it those of the entry.
   */
  admits(waiter: Waiter): boolean {
    if (this.#ended) return false;
    // A HEAD has no content for a GET; the answer to a GET has all that a HEAD asks for.
    if (this.#deps.method === 'HEAD' && waiter.request.method !== 'HEAD') return false;
    if (this.#landing === null) {
      const { knownTags, floor, startedAtMs, route, trustOf } = this.#deps;
      const isLate = waiter.waitsSinceMs > startedAtMs;
      // A request that demands validation can't join a fetch that began before it arrived.
      if (isLate && wantsOrigin(waiter.request, route.config.cache)) return false;
      // While the feed is lost a change before its arrival may come into force after it, when the feed is live again.
      if (isLate && trustOf(route) === 'revalidate') return false;
      return knownTags === null || !this.#isSuperseded(waiter, null, knownTags, floor, false);
    }
    if (this.#landing.kind !== 'entry') return false;
    const { body, entry } = this.#landing;
    if (body !== null && (body.state.kind === 'cut' || !body.reachesBack)) return false;
    return this.#departure(waiter, null, entry) === null;
  }

  /** The waiter hears of the answer, at once where the head is there. Call only where it is admitted. */
  join(waiter: Waiter): void {
    if (this.#landing?.kind === 'entry') {
      waiter.take({ ...this.#landing, collapsed: true, ownFields: [] });
      return;
    }
    this.#leader ??= waiter;
    this.#waiters.set(waiter, this.#deps.fence.published());
  }

  /** The waiter hears nothing more. Returns whether anybody is left. */
  leave(waiter: Waiter): boolean {
    this.#waiters.delete(waiter);
    return this.#waiters.size > 0;
  }

  /** An interim response is for the one alone whose request caused it. */
  inform(status: number, fields: Fields): void {
    const leader = this.#leader;
    if (leader !== null && this.#waiters.has(leader)) leader.inform(status, fields);
  }

  /**
   * The head is there: everybody who may have it gets it, the others are handed back. `failure`: what it says of the origin,
   * where it says that the origin fails.
   */
  land(
    landing: FlightResult,
    failure: SharedFailure | null,
  ): readonly { readonly waiter: Waiter; readonly why: DepartureReason }[] {
    this.#landing = landing;
    const leaving: { waiter: Waiter; why: DepartureReason }[] = [];
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const [waiter, joinedAt] of waiters) {
      if (waiter === this.#leader) {
        if (landing.kind === 'owner-lost') leaving.push({ waiter, why: 'owner-lost' });
        else this.#giveLeader(waiter, landing, failure);
        continue;
      }
      const why =
        failure === null
          ? this.#give(waiter, joinedAt, landing)
          : failure.concerns(waiter)
            ? null
            : ('failed' as const);
      if (why !== null) leaving.push({ waiter, why });
      else if (failure !== null) waiter.take(failure.found);
    }
    return leaving;
  }

  /** Nobody can join any more. */
  end(): void {
    this.#ended = true;
  }

  /** Its own request was sent after it came, with its own fields. */
  #giveLeader(
    leader: Waiter,
    landing: Exclude<FlightResult, { readonly kind: 'owner-lost' }>,
    failure: SharedFailure | null,
  ): void {
    this.#leaderTook = true;
    switch (landing.kind) {
      case 'failed':
      case 'failing':
        leader.take(failure?.found ?? failureOf(landing));
        return;
      case 'entry':
      case 'pass':
      case 'unshareable':
      case 'refused':
        leader.take(landing);
        return;
      default:
        landing satisfies never;
    }
  }

  /** To one whose request was not sent; returns why not. */
  #give(waiter: Waiter, joinedAt: number, landing: FlightResult): DepartureReason | null {
    switch (landing.kind) {
      case 'entry': {
        const why = this.#departure(waiter, joinedAt, landing.entry);
        if (why === null) waiter.take({ ...landing, collapsed: true, ownFields: [] });
        return why;
      }
      case 'pass':
        if (isOfOneRequest(landing.status)) return 'one-request';
        waiter.take({ kind: 'unshareable', reason: landing.reason });
        return null;
      case 'failed':
      case 'failing':
        waiter.take(failureOf(landing));
        return null;
      case 'unshareable':
      case 'refused':
        waiter.take(landing);
        return null;
      case 'owner-lost':
        return 'owner-lost';
      default:
        return landing satisfies never;
    }
  }

  #departure(waiter: Waiter, joinedAt: number | null, entry: StoredEntry): DepartureReason | null {
    const { route, startedAtMs, trustOf } = this.#deps;
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
    // What another worker has found to be valid is so up to when it was asked.
    const floor = Math.max(entry.floor, this.#deps.floor);
    return this.#isSuperseded(waiter, joinedAt, entry.tagHashes, floor, entry.possiblyStale)
      ? 'invalidated'
      : null;
  }

  /**
   * Whether the waiter came after something was in force that this flight may not show. `joinedAt`: null: it joins now, with
   * the feed as it is now, which may have caught up since the waiter came.
   */
  #isSuperseded(
    waiter: Waiter,
    joinedAt: number | null,
    tags: TagHashes,
    floor: number,
    possiblyStale: boolean,
  ): boolean {
    const { fence, mechanisms, route, startedAtMs, trustOf } = this.#deps;
    if (!mechanisms.arrivalInFlights) return false;
    // As in `judge`: the feed's proof before the fence.
    const trust = trustOf(route);
    const until = Math.max(waiter.arrival, joinedAt ?? fence.published());
    if (fence.invalidatedBetween(tags, floor, until)) return true;
    // Whoever was there before it began has it, as it is.
    if (waiter.waitsSinceMs <= startedAtMs) return false;
    // It may show what was there before an invalidation of any of its tags, for one of which the origin's lag may have
    // passed meanwhile; and while the feed is not live, something that nobody has told of may have changed since.
    return possiblyStale || trust === 'revalidate';
  }
}

export interface FlightDependencies {
  readonly fence: FenceReader;
  readonly mechanisms: Mechanisms;
  /** Tags that every answer to this request will bear; null where another worker asks the origin. */
  readonly knownTags: TagHashes | null;
  /** The fence's sequence before the request was sent, to the origin or to another worker. */
  readonly floor: number;
  /** Monotonic, then. */
  readonly startedAtMs: number;
  readonly route: ActiveRoute;
  /** With which the origin is asked. */
  readonly method: 'GET' | 'HEAD';
  trustOf(route: ActiveRoute): FeedTrust;
}

/** A failure that says nothing of the origin: it stands for those alone who waited. */
function failureOf(
  landing: FlightResult & { readonly kind: 'failed' | 'failing' },
): FetchResult & { readonly kind: 'failed' | 'failing' } {
  const terms = landing.told ?? { scope: 'all', untilMs: 0 };
  return landing.kind === 'failed'
    ? { kind: 'failed', failure: landing.failure, ...terms }
    : { kind: 'failing', status: landing.status, ...terms };
}

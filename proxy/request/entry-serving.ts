import type { CacheStatus } from '../../policies/http/cache-status.ts';
import { isObtainedStale } from '../../policies/http/downstream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { currentAgeSeconds } from '../../policies/rfc9111/freshness.ts';
import { usableLifetimeSeconds } from '../../policies/rfc9111/reuse.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { Tiers } from '../store/tiers.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Clock } from '../threads/clock.ts';
import { judge } from '../store/verdict.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { FetchedEntry } from '../fetch/fetch-request.ts';
import { respondWithEntry } from './entry-response.ts';
import { MISSING, type CacheStep, type FetchReason } from './cache-steps.ts';
import type { AccessRecords } from './access-records.ts';
import type { Outcome } from '../observability/outcome.ts';
import { refuseAlike, refuseFailed } from './error-responses.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import { keyedStatus, type KeyedContext } from './context.ts';

export interface EntryServingDependencies {
  readonly levels: Tiers;
  readonly clock: Clock;
  readonly conclusions: AccessRecords;
  readonly fence: FenceReader;
  trustOf(route: ActiveRoute): FeedTrust;
}

/** The steps that answer with an entry: fresh, stale, just obtained, or in place of an origin that fails. */
export class EntryServing {
  readonly #deps: EntryServingDependencies;

  constructor(deps: EntryServingDependencies) {
    this.#deps = deps;
  }

  serve(visit: KeyedContext, entry: StoredEntry, ttlSeconds: number): CacheStep | null {
    return this.#send(visit, entry, { hit: true, ttlSeconds }, 'hit', 'memory');
  }

  serveStale(visit: KeyedContext, entry: StoredEntry, ttlSeconds: number, reason: string): CacheStep | null {
    return this.#send(unplaced(visit), entry, { hit: true, ttlSeconds, detail: reason }, 'stale', reason);
  }

  serveFound(visit: KeyedContext, need: FetchReason, found: FetchedEntry): CacheStep | null {
    const { levels, clock, conclusions } = this.#deps;
    const { entry, body, originStatus, collapsed, ownFields } = found;
    const { trust, verdict } = judge(this.#deps, entry, visit.route);
    const nowMs = clock.nowMs();
    const ageSeconds = currentAgeSeconds(entry.meta, nowMs);
    const lifetimeSeconds = usableLifetimeSeconds(entry.meta, trust);
    // It may answer whoever asked before an invalidation, and be fresh for nobody.
    const isClear = verdict.kind === 'clear';
    const ttlSeconds = isClear ? lifetimeSeconds - ageSeconds : Math.min(0, lifetimeSeconds - ageSeconds);
    // Another worker had it fresh: nobody asked the origin.
    const status: CacheStatus =
      originStatus === null
        ? { hit: true, ttlSeconds, detail: 'peer' }
        : {
            fwd: need.forward,
            fwdStatus: originStatus,
            stored: originStatus !== 304 || body !== null,
            collapsed,
            ttlSeconds,
            ...(need.stale === null ? {} : { detail: need.reason }),
          };
    const isHeadAlone = entry.head.id === '' && originStatus !== null;
    const told = isHeadAlone
      ? { fwd: need.forward, fwdStatus: originStatus, collapsed, detail: 'head' }
      : status;
    const isStale = !isClear || isObtainedStale({ ageSeconds, lifetimeSeconds }, originStatus !== null);
    const answer = { entry, body, status: told, ownFields, nowMs, lifetimeSeconds, isStale };
    const sent = respondWithEntry(visit, levels, answer);
    if (sent === 'to-origin') return { to: 'pass', visit, reason: 'precondition', need };
    if (sent === 'damaged') return { to: 'lookup', visit };
    if (isHeadAlone) {
      conclusions.whenEnded(visit, 'pass', 'head', sent);
      return null;
    }
    const outcome = originStatus === null ? 'hit' : originStatus === 304 ? 'revalidated' : 'miss';
    const reason = originStatus === null ? 'peer' : need.reason;
    conclusions.whenEnded(visit, outcome, reason, sent);
    return null;
  }

  /** RFC 5861 §4. Only where it may stand in. */
  standIn(visit: KeyedContext, need: FetchReason): CacheStep | null {
    const entry = need.stale!;
    const { clock } = this.#deps;
    const ttlSeconds = entry.meta.lifetimeSeconds - currentAgeSeconds(entry.meta, clock.nowMs());
    const status: CacheStatus = { fwd: need.forward, ttlSeconds, detail: 'stale-if-error' };
    return this.#send(unplaced(visit), entry, status, 'stale', 'stale-if-error');
  }

  /** The origin has failed, and nothing stands in. */
  fail(visit: KeyedContext, need: FetchReason, failure: OriginFailure): null {
    const { exchange, route } = visit;
    const detached = need.stale?.meta.mustRevalidate === true;
    // RFC 9111 §5.2.2.2: what must be revalidated and can't be is answered with 504.
    const status = detached ? 504 : failure.status;
    refuseFailed(
      exchange,
      { ...failure, status },
      route.config.origin,
      keyedStatus(visit, { fwd: need.forward }),
      ['Retry-After', '1'],
    );
    this.#deps.conclusions.whenEnded(visit, 'failed', failure.kind, status);
    return null;
  }

  /**
   * The origin has failed at another request, and would at this one. Its answer was for that one: it may tell of its client.
   */
  failAlike(visit: KeyedContext, need: FetchReason, status: number): null {
    const answered = keyedStatus(visit, { fwd: need.forward, fwdStatus: status, collapsed: true });
    refuseAlike(visit.exchange, status, visit.route.config.origin, answered);
    this.#deps.conclusions.whenEnded(visit, 'failed', 'destination_unavailable', status);
    return null;
  }

  #send(
    visit: KeyedContext,
    entry: StoredEntry,
    status: CacheStatus,
    outcome: Outcome,
    reason: string,
  ): CacheStep | null {
    const { levels, conclusions } = this.#deps;
    const { arrivedAtMs } = visit;
    const fromDisk = entry.content === null;
    const isStale = outcome === 'stale';
    const lifetimeSeconds = (status.ttlSeconds ?? 0) + currentAgeSeconds(entry.meta, arrivedAtMs);
    const sending = { nowMs: arrivedAtMs, lifetimeSeconds, isStale };
    const answer = { entry, body: null, status, ownFields: NO_FIELDS, ...sending };
    const sent = respondWithEntry(visit, levels, answer);
    if (sent === 'to-origin') {
      return { to: 'pass', visit, reason: 'precondition', need: { ...MISSING, forward: 'request' } };
    }
    if (sent === 'damaged') return { to: 'lookup', visit };
    const isWhole = sent === entry.meta.status && visit.exchange.method === 'GET';
    if (outcome === 'hit' && !fromDisk && isWhole)
      conclusions.now(visit, 'hit', reason, sent, entry.head.sizeBytes);
    else conclusions.whenEnded(visit, outcome, fromDisk && outcome === 'hit' ? 'disk' : reason, sent);
    levels.disk?.touch(entry.head.id);
    return null;
  }
}

/** What is served stale is as new as nothing. */
function unplaced(visit: KeyedContext): KeyedContext {
  return visit.position === null ? visit : { ...visit, position: null };
}

const NO_FIELDS: Fields = [];

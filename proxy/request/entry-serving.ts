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
import { refuse, refuseFailed } from './error-responses.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import { keyedStatus, type KeyedContext } from './context.ts';

export interface EntryServingDependencies {
  readonly tiers: Tiers;
  readonly clock: Clock;
  readonly accessRecords: AccessRecords;
  readonly fence: FenceReader;
  trustOf(route: ActiveRoute): FeedTrust;
}

/** The steps that answer with an entry: fresh, stale, just obtained, or in place of an origin that fails. */
export class EntryServing {
  readonly #deps: EntryServingDependencies;

  constructor(deps: EntryServingDependencies) {
    this.#deps = deps;
  }

  serve(context: KeyedContext, entry: StoredEntry, ttlSeconds: number): CacheStep | null {
    return this.#send(context, entry, { hit: true, ttlSeconds }, 'hit', 'memory');
  }

  serveStale(
    context: KeyedContext,
    entry: StoredEntry,
    ttlSeconds: number,
    reason: string,
  ): CacheStep | null {
    return this.#send(unplaced(context), entry, { hit: true, ttlSeconds, detail: reason }, 'stale', reason);
  }

  serveFound(context: KeyedContext, need: FetchReason, found: FetchedEntry): CacheStep | null {
    const { tiers, clock, accessRecords } = this.#deps;
    const { entry, body, originStatus, collapsed, ownFields } = found;
    const { trust, verdict } = judge(this.#deps, entry, context.route);
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
    const sent = respondWithEntry(context, tiers, answer);
    if (sent === 'to-origin') return { to: 'pass', context, reason: 'precondition', need };
    if (sent === 'damaged') return { to: 'lookup', context };
    if (isHeadAlone) {
      accessRecords.whenEnded(context, 'pass', 'head', sent);
      return null;
    }
    const outcome = originStatus === null ? 'hit' : originStatus === 304 ? 'revalidated' : 'miss';
    const reason = originStatus === null ? 'peer' : need.reason;
    accessRecords.whenEnded(context, outcome, reason, sent);
    return null;
  }

  /** RFC 5861 §4. Only where it may stand in. */
  standIn(context: KeyedContext, need: FetchReason): CacheStep | null {
    const entry = need.stale!;
    const { clock } = this.#deps;
    const ttlSeconds = entry.meta.lifetimeSeconds - currentAgeSeconds(entry.meta, clock.nowMs());
    const status: CacheStatus = { fwd: need.forward, ttlSeconds, detail: 'stale-if-error' };
    return this.#send(unplaced(context), entry, status, 'stale', 'stale-if-error');
  }

  /** The origin has failed, and nothing stands in. */
  fail(context: KeyedContext, need: FetchReason, failure: OriginFailure): null {
    const detached = need.stale?.meta.mustRevalidate === true;
    // RFC 9111 §5.2.2.2: what must be revalidated and can't be is answered with 504.
    const status = detached ? 504 : failure.status;
    const cache = keyedStatus(context, { fwd: need.forward });
    refuseFailed(context, this.#deps.accessRecords, { kind: failure.kind, status }, cache, true);
    return null;
  }

  /**
   * The origin has failed at another request, and would at this one. Its answer was for that one: it may tell of its client.
   */
  failAlike(context: KeyedContext, need: FetchReason, status: number): null {
    const cache = { fwd: need.forward, fwdStatus: status, collapsed: true, detail: 'failing' };
    refuse(context, this.#deps.accessRecords, 'failing', {
      status,
      cache: keyedStatus(context, cache),
      proxy: { receivedStatus: status, nextHop: context.route.config.origin },
    });
    return null;
  }

  #send(
    context: KeyedContext,
    entry: StoredEntry,
    status: CacheStatus,
    outcome: Outcome,
    reason: string,
  ): CacheStep | null {
    const { tiers, accessRecords } = this.#deps;
    const { arrivedAtMs } = context;
    const fromDisk = entry.content === null;
    const isStale = outcome === 'stale';
    const lifetimeSeconds = (status.ttlSeconds ?? 0) + currentAgeSeconds(entry.meta, arrivedAtMs);
    const sending = { nowMs: arrivedAtMs, lifetimeSeconds, isStale };
    const answer = { entry, body: null, status, ownFields: NO_FIELDS, ...sending };
    const sent = respondWithEntry(context, tiers, answer);
    if (sent === 'to-origin') {
      return { to: 'pass', context, reason: 'precondition', need: { ...MISSING, forward: 'request' } };
    }
    if (sent === 'damaged') return { to: 'lookup', context };
    const isWhole = sent === entry.meta.status && context.exchange.method === 'GET';
    if (outcome === 'hit' && !fromDisk && isWhole)
      accessRecords.now(context, 'hit', reason, sent, entry.head.sizeBytes);
    else accessRecords.whenEnded(context, outcome, fromDisk && outcome === 'hit' ? 'disk' : reason, sent);
    tiers.disk?.touch(entry.head.id);
    return null;
  }
}

/** What is served stale is as new as nothing. */
function unplaced(context: KeyedContext): KeyedContext {
  return context.position === null ? context : { ...context, position: null };
}

const NO_FIELDS: Fields = [];

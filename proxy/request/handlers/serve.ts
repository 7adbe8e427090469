import type { CacheStatus } from '../../../policies/http/cache-status.ts';
import { isObtainedStale } from '../../../policies/http/downstream.ts';
import type { Fields } from '../../../policies/http/fields.ts';
import { currentAgeSeconds } from '../../../policies/rfc9111/freshness.ts';
import { decideReuse, standsIn, usableLifetimeSeconds } from '../../../policies/rfc9111/reuse.ts';
import type { FenceReader } from '../../fence/reader.ts';
import type { FetchedEntry } from '../../fetch/fetch-request.ts';
import type { Outcome } from '../../observability/outcome.ts';
import type { ActiveRoute } from '../../origins/active-route.ts';
import type { StoredEntry } from '../../store/entry.ts';
import type { Tiers } from '../../store/tiers.ts';
import { judge, type Judge } from '../../store/verdict.ts';
import type { Clock } from '../../threads/clock.ts';
import type { AccessRecords } from '../access-records.ts';
import type { KeyedContext } from '../context.ts';
import { respondWithEntry } from '../entry-response.ts';
import type { FetchReason } from '../fetch-requests.ts';

export interface EntryHandlerDependencies extends Judge<ActiveRoute> {
  readonly tiers: Tiers;
  readonly clock: Clock;
  readonly fence: FenceReader;
  readonly accessRecords: AccessRecords;
}

/**
 * `to-origin`: nothing was sent, for the client's own conditions are for the origin to evaluate. `damaged`: nothing was
 * sent, for the content is missing or damaged on disk, and the entry is to be discarded.
 */
export type Served = 'sent' | 'to-origin' | 'damaged';

/** Responds with entries: fresh, stale, just fetched, or in place of an origin that fails. */
export class EntryHandler {
  readonly #deps: EntryHandlerDependencies;

  constructor(deps: EntryHandlerDependencies) {
    this.#deps = deps;
  }

  fresh(context: KeyedContext, entry: StoredEntry, ttlSeconds: number): Served {
    return this.#send(context, entry, { hit: true, ttlSeconds }, 'hit', 'memory');
  }

  stale(context: KeyedContext, entry: StoredEntry, ttlSeconds: number, reason: string): Served {
    const status: CacheStatus = { hit: true, ttlSeconds, detail: reason };
    return this.#send(withoutPosition(context), entry, status, 'stale', reason);
  }

  fetched(context: KeyedContext, why: FetchReason, fetched: FetchedEntry): Served {
    const { tiers, clock, accessRecords } = this.#deps;
    const { entry, body, originStatus, collapsed, ownFields } = fetched;
    const { trust, verdict } = judge(this.#deps, entry, context.route);
    const nowMs = clock.nowMs();
    const ageSeconds = currentAgeSeconds(entry.meta, nowMs);
    const lifetimeSeconds = usableLifetimeSeconds(entry.meta, trust);
    // It may answer a request that arrived before an invalidation, and is fresh for no later one.
    const isClear = verdict.kind === 'clear';
    const ttlSeconds = isClear ? lifetimeSeconds - ageSeconds : Math.min(0, lifetimeSeconds - ageSeconds);
    // Another worker had it fresh: nobody asked the origin.
    const ofEntry: CacheStatus =
      originStatus === null
        ? { hit: true, ttlSeconds, detail: 'peer' }
        : {
            fwd: why.forward,
            fwdStatus: originStatus,
            stored: originStatus !== 304 || body !== null,
            collapsed,
            ttlSeconds,
            ...(why.stale === null ? {} : { detail: why.reason }),
          };
    const isHeadAlone = entry.head.id === '' && originStatus !== null;
    const status = isHeadAlone
      ? { fwd: why.forward, fwdStatus: originStatus, collapsed, detail: 'head' }
      : ofEntry;
    const isStale = !isClear || isObtainedStale({ ageSeconds, lifetimeSeconds }, originStatus !== null);
    const response = { entry, body, status, ownFields, nowMs, lifetimeSeconds, isStale };
    const sent = respondWithEntry(context, tiers, response);
    if (typeof sent === 'string') return sent;
    if (isHeadAlone) accessRecords.whenEnded(context, 'pass', 'head', sent);
    else if (originStatus === null) accessRecords.whenEnded(context, 'hit', 'peer', sent);
    else accessRecords.whenEnded(context, originStatus === 304 ? 'revalidated' : 'miss', why.reason, sent);
    return 'sent';
  }

  /**
   * RFC 5861 §4: whether the stale entry may be served in place of the origin's failure. Since the origin was asked it may
   * have been outdated or invalidated, and its feed may have been lost or have caught up: all is judged anew.
   */
  mayStandIn({ request, route }: KeyedContext, { stale }: FetchReason): boolean {
    const { tiers, clock } = this.#deps;
    if (stale === null || tiers.isDropped(stale.head.id)) return false;
    const judgement = judge(this.#deps, stale, route);
    const nowMs = clock.nowMs();
    const policy = route.config.cache;
    return standsIn(decideReuse({ meta: stale.meta, request, ...judgement, policy, nowMs }), nowMs);
  }

  /** RFC 5861 §4. Only where it may stand in. */
  standIn(context: KeyedContext, why: FetchReason): Served {
    const entry = why.stale!;
    const ttlSeconds = entry.meta.lifetimeSeconds - currentAgeSeconds(entry.meta, this.#deps.clock.nowMs());
    const status: CacheStatus = { fwd: why.forward, ttlSeconds, detail: 'stale-if-error' };
    return this.#send(withoutPosition(context), entry, status, 'stale', 'stale-if-error');
  }

  #send(
    context: KeyedContext,
    entry: StoredEntry,
    status: CacheStatus,
    outcome: Outcome,
    reason: string,
  ): Served {
    const { tiers, accessRecords } = this.#deps;
    const { arrivedAtMs } = context;
    const isStale = outcome === 'stale';
    const lifetimeSeconds = (status.ttlSeconds ?? 0) + currentAgeSeconds(entry.meta, arrivedAtMs);
    const response = {
      entry,
      body: null,
      status,
      ownFields: NO_FIELDS,
      nowMs: arrivedAtMs,
      lifetimeSeconds,
      isStale,
    };
    const sent = respondWithEntry(context, tiers, response);
    if (typeof sent === 'string') return sent;
    const isFromDisk = entry.tier === 'disk';
    const isWhole = sent === entry.meta.status && context.exchange.method === 'GET';
    if (outcome === 'hit' && !isFromDisk && isWhole)
      accessRecords.now(context, 'hit', reason, sent, entry.head.sizeBytes);
    else accessRecords.whenEnded(context, outcome, isFromDisk && outcome === 'hit' ? 'disk' : reason, sent);
    tiers.disk?.touch(entry.head.id);
    return 'sent';
  }
}

/** A stale response claims no position: it may show any earlier state. */
function withoutPosition(context: KeyedContext): KeyedContext {
  return context.position === null ? context : { ...context, position: null };
}

const NO_FIELDS: Fields = [];

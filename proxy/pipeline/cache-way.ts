import {
  cacheStatus,
  withKey,
  type CacheStatus,
  type ForwardReason,
} from '../../policies/http/cache-status.ts';
import { fieldValues, hasField, type Fields } from '../../policies/http/fields.ts';
import { endToEnd, originFields, VIA } from '../../policies/http/forwarding.ts';
import { namesOthers } from '../../policies/http/hop-by-hop.ts';
import { proxyStatus } from '../../policies/http/proxy-status.ts';
import { hasUnkeyedFields, keyOf, unkeyedRequestFields } from '../../policies/key.ts';
import type { FeedTrust, ReuseDecision } from '../../policies/model.ts';
import { currentAgeSeconds } from '../../policies/rfc9111/freshness.ts';
import {
  decideReuse,
  forbidsStoring,
  isStaleIfErrorStatus,
  onlyIfCached,
} from '../../policies/rfc9111/reuse.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import { freshenByHead } from '../../policies/rfc9111/validation.ts';
import { groupSite } from '../../policies/tags.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import { readFlight } from '../cache/content.ts';
import type { Levels } from '../cache/levels.ts';
import { StoredEntry } from '../cache/stored-entry.ts';
import type { Clock } from '../clock.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { Flights } from '../flights/flights.ts';
import type { Peer } from '../flights/peers.ts';
import type { FillRequest, Found, FoundEntry, Waiter } from '../flights/waiter.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import { answerWithEntry } from './answer.ts';
import type { Conclusions } from './conclusion.ts';
import type { Outcome } from './outcome.ts';
import { acceptsEventStream, originForm, type PassWay } from './pass-way.ts';
import { pumpContent } from './pump.ts';
import type { Positions } from './positions.ts';
import { refuse, refuseFailed } from './refusals.ts';
import type { KeyedVisit, RoutedVisit } from './visit.ts';

export interface CacheWayDependencies {
  readonly fence: FenceReader;
  readonly levels: Levels;
  readonly flights: Flights;
  readonly clock: Clock;
  readonly conclusions: Conclusions;
  readonly passWay: PassWay;
  readonly positions: Positions;
  readonly maxRefreshes: number;
  trustOf(route: ActiveRoute): FeedTrust;
  /** The worker that may have stored what this one has not, where no disk shows it to both; null: none. */
  lenderOf(key: string): Peer | null;
}

export interface CacheWayCounters {
  refreshes: number;
  /** Refreshes that were not begun, for as many as may were under way. */
  refreshesSkipped: number;
}

/** Why the origin is asked, and what may stand in for it if it fails. */
interface Need {
  readonly forward: ForwardReason;
  readonly reason: string;
  readonly stale: StoredEntry | null;
  /** Wall clock until when `stale` may be served if the origin fails; 0: never. */
  readonly staleUntilMs: number;
}

const MISSING: Need = { forward: 'uri-miss', reason: 'miss', stale: null, staleUntilMs: 0 };

/**
 * GET and HEAD. Every step returns the next:
 *
 *     key → lookup → borrow → decide → serve | serve stale | obtain | pass | refuse
 *     obtain → answered by an entry | by an answer for this client alone | pass | stale | failed | refused
 */
type Step =
  | { readonly to: 'lookup'; readonly visit: KeyedVisit }
  | { readonly to: 'borrow'; readonly visit: KeyedVisit; readonly lender: Peer; readonly missing: Need }
  | { readonly to: 'absent'; readonly visit: KeyedVisit; readonly missing: Need }
  | { readonly to: 'decide'; readonly visit: KeyedVisit; readonly entry: StoredEntry }
  | {
      readonly to: 'serve';
      readonly visit: KeyedVisit;
      readonly entry: StoredEntry;
      readonly ttlSeconds: number;
    }
  | {
      readonly to: 'serve-stale';
      readonly visit: KeyedVisit;
      readonly entry: StoredEntry;
      readonly ttlSeconds: number;
      readonly refresh: boolean;
      readonly reason: string;
    }
  | { readonly to: 'obtain'; readonly visit: KeyedVisit; readonly need: Need }
  | { readonly to: 'pass'; readonly visit: KeyedVisit; readonly reason: string; readonly need: Need }
  | { readonly to: 'refuse-uncached'; readonly visit: KeyedVisit };

export class CacheWay {
  readonly counters: CacheWayCounters = { refreshes: 0, refreshesSkipped: 0 };
  readonly #deps: CacheWayDependencies;
  #refreshing = 0;

  constructor(deps: CacheWayDependencies) {
    this.#deps = deps;
  }

  enter(visit: RoutedVisit): void {
    if (visit.route.config.cache.positionHeader) this.#enterPositioned(visit);
    else this.#begin(visit);
  }

  /** What the request asks for comes first: then everything up to there is in force for whatever answers it. */
  #enterPositioned(visit: RoutedVisit): void {
    const { positions } = this.#deps;
    const wanted = positions.wanted(visit);
    if (wanted === 'unreachable') {
      this.#beginNoted(visit, 'position');
    } else if (wanted.length === 0) {
      this.#beginNoted(visit, null);
    } else {
      void positions.reached(wanted, visit.route).then((isReached) => {
        if (visit.exchange.closed) this.#deps.conclusions.abandoned(visit, 'position');
        else this.#beginNoted(visit, isReached ? null : 'position');
      });
    }
  }

  /** The position before the sequence: no flight may answer that began before something up to there was in force. */
  #beginNoted(visit: RoutedVisit, passBecause: string | null): void {
    const { positions, fence, clock } = this.#deps;
    const position = positions.note(visit.route);
    const noted = { ...visit, position, arrival: fence.published(), arrivedAtMs: clock.nowMs() };
    if (passBecause === null) this.#begin(noted);
    else this.#passAlone(noted, passBecause);
  }

  #begin(visit: RoutedVisit): void {
    const { exchange, route } = visit;
    if (route.config.cache.freshness === 'none') {
      this.#passAlone(visit, 'route');
      return;
    }
    if (acceptsEventStream(exchange.fields)) {
      this.#passAlone(visit, 'event-stream');
      return;
    }
    // Content is in no key: a request that has some is for its client alone.
    if (exchange.body !== null) {
      this.#passAlone(visit, 'content');
      return;
    }
    // The key and Vary would see what Connection takes away, and the origin would not.
    if (namesOthers(exchange.fields)) {
      this.#passAlone(visit, 'connection');
      return;
    }
    this.#run({ to: 'lookup', visit: keyed(visit) });
  }

  #run(first: Step): void {
    let step: Step | null = first;
    while (step !== null) step = this.#take(step);
  }

  #passAlone(visit: RoutedVisit, reason: string): void {
    this.#deps.passWay.enter(visit, reason, {
      outcome: 'pass',
      forward: 'bypass',
      onHead: (_status, fields) => this.#deps.positions.ofPassed(visit, fields),
    });
  }

  #take(step: Step): Step | null {
    switch (step.to) {
      case 'lookup':
        return this.#lookup(step.visit);
      case 'borrow':
        return this.#borrow(step.visit, step.lender, step.missing);
      case 'absent':
        return this.#absent(step.visit, step.missing);
      case 'decide':
        return this.#decide(step.visit, step.entry);
      case 'serve':
        return this.#serve(
          step.visit,
          step.entry,
          { hit: true, ttlSeconds: step.ttlSeconds },
          'hit',
          'memory',
        );
      case 'serve-stale':
        return this.#serveStale(step);
      case 'obtain':
        return this.#obtain(step.visit, step.need);
      case 'pass':
        return this.#pass(step.visit, step.reason, step.need);
      case 'refuse-uncached':
        return this.#refuseUncached(step.visit);
      default:
        return step satisfies never;
    }
  }

  #lookup(visit: KeyedVisit): Step {
    const { entry, others } = this.#deps.levels.find(visit.key, visit.request, visit.route.config.name);
    if (entry !== null) return { to: 'decide', visit, entry };
    const missing: Need = others ? { ...MISSING, forward: 'vary-miss', reason: 'vary-miss' } : MISSING;
    const lender = this.#deps.lenderOf(visit.key);
    return lender === null ? { to: 'absent', visit, missing } : { to: 'borrow', visit, lender, missing };
  }

  /** The worker that asks the origin about this key may have what this one has not. */
  #borrow(visit: KeyedVisit, lender: Peer, missing: Need): null {
    const { key, request, route } = visit;
    const { maxVariants } = route.config.cache;
    const { method, fields } = request;
    lender.borrow({ key, request: { method, fields }, route: route.config.name, maxVariants }, (entry) => {
      if (visit.exchange.closed) {
        this.#deps.conclusions.abandoned(visit, 'peer');
        return;
      }
      this.#run(entry === null ? { to: 'absent', visit, missing } : { to: 'decide', visit, entry });
    });
    return null;
  }

  #absent(visit: KeyedVisit, missing: Need): Step {
    if (onlyIfCached(visit.request, visit.route.config.cache)) return { to: 'refuse-uncached', visit };
    return this.#need(visit, missing);
  }

  #decide(visit: KeyedVisit, entry: StoredEntry): Step {
    const { route, request, arrivedAtMs } = visit;
    const { fence, trustOf } = this.#deps;
    const decision: ReuseDecision = decideReuse({
      meta: entry.meta,
      request,
      verdict: fence.verdict(entry),
      trust: trustOf(route),
      policy: route.config.cache,
      nowMs: arrivedAtMs,
    });
    switch (decision.kind) {
      case 'serve':
        return { to: 'serve', visit, entry, ttlSeconds: decision.ttlSeconds };
      case 'serve-stale': {
        const { ttlSeconds, refresh, reason } = decision;
        return { to: 'serve-stale', visit, entry, ttlSeconds, refresh, reason };
      }
      case 'bypass':
        return { to: 'pass', visit, reason: decision.reason, need: MISSING };
      case 'revalidate':
      case 'fetch': {
        if (onlyIfCached(request, route.config.cache)) return { to: 'refuse-uncached', visit };
        const { reason, staleIfErrorUntilMs } = decision;
        const forward: ForwardReason = reason === 'request' ? 'request' : 'stale';
        return this.#need(visit, { forward, reason, stale: entry, staleUntilMs: staleIfErrorUntilMs });
      }
      default:
        return decision satisfies never;
    }
  }

  /** The origin is to be asked: together with others, or alone where the answer would not be for them. */
  #need(visit: KeyedVisit, need: Need): Step {
    const { request, route } = visit;
    if (request.method === 'HEAD') return { to: 'pass', visit, reason: 'head', need };
    // What may not be kept is shared with nobody, and spoils nothing for those who would share.
    if (forbidsStoring(request, route.config.cache)) {
      return { to: 'pass', visit, reason: 'request-no-store', need };
    }
    return { to: 'obtain', visit, need };
  }

  #serve(
    visit: KeyedVisit,
    entry: StoredEntry,
    status: CacheStatus,
    outcome: Outcome,
    reason: string,
  ): Step | null {
    const { levels, conclusions } = this.#deps;
    const { arrivedAtMs } = visit;
    const fromDisk = entry.content === null;
    const answer = { entry, body: null, status, ownFields: NO_FIELDS, nowMs: arrivedAtMs };
    const sent = answerWithEntry(visit, levels, answer);
    if (sent === 'to-origin') return { to: 'pass', visit, reason: 'precondition', need: MISSING };
    const isWhole = sent === entry.meta.status && visit.exchange.method === 'GET';
    if (outcome === 'hit' && !fromDisk && isWhole)
      conclusions.now(visit, 'hit', reason, sent, entry.head.sizeBytes);
    else conclusions.whenEnded(visit, outcome, fromDisk && outcome === 'hit' ? 'disk' : reason, sent);
    levels.disk?.touch(entry.head.id);
    return null;
  }

  #serveStale(step: Step & { readonly to: 'serve-stale' }): Step | null {
    const { visit, entry, ttlSeconds, refresh, reason } = step;
    if (refresh) this.#refresh(visit, entry);
    return this.#serve(unplaced(visit), entry, { hit: true, ttlSeconds, detail: reason }, 'stale', reason);
  }

  #refuseUncached(visit: KeyedVisit): null {
    const status = cacheStatus(withKey({ detail: 'only-if-cached' }, visit.key));
    refuse(
      visit.exchange,
      504,
      'Gateway Timeout',
      'Nothing stored answers this request, and it wants nothing else.',
      ['Cache-Status', status, 'Via', VIA],
    );
    this.#deps.conclusions.whenEnded(visit, 'refused', 'only-if-cached', 504);
    return null;
  }

  /** Asks the origin behind a response that was served stale. */
  #refresh(visit: KeyedVisit, stale: StoredEntry): void {
    const { flights, maxRefreshes } = this.#deps;
    const fill = this.#fillOf(visit, 'background', stale);
    if (flights.isUnderWay(fill)) return;
    if (this.#refreshing >= maxRefreshes) {
      this.counters.refreshesSkipped += 1;
      return;
    }
    this.#refreshing += 1;
    this.counters.refreshes += 1;
    flights.obtain(fill, {
      ...this.#waiterOf(visit),
      inform: () => {},
      take: (found) => {
        this.#refreshing -= 1;
        if (found.kind === 'pass') found.body.desertIfUnread();
      },
    });
  }

  #obtain(visit: KeyedVisit, need: Need): Step | null {
    const { flights, conclusions } = this.#deps;
    const fill = this.#fillOf(visit, 'client', need.stale);
    if (flights.isUncacheable(fill)) return { to: 'pass', visit, reason: 'uncacheable', need };
    let leave: () => boolean = () => false;
    visit.exchange.onGone(() => {
      if (leave()) conclusions.abandoned(visit, 'flight');
    });
    leave = flights.obtain(fill, {
      ...this.#waiterOf(visit),
      inform: (status, fields) => visit.exchange.inform(status, endToEnd(fields)),
      take: (found) => {
        let step = this.#found(visit, need, found);
        while (step !== null) step = this.#take(step);
      },
    });
    return null;
  }

  #found(visit: KeyedVisit, need: Need, found: Found): Step | null {
    if (visit.exchange.closed) {
      this.#deps.conclusions.abandoned(visit, 'flight');
      if (found.kind === 'pass') found.body.desertIfUnread();
      return null;
    }
    switch (found.kind) {
      case 'entry':
        if (isStaleIfErrorStatus(found.originStatus ?? 200) && this.#staleMayStandIn(need)) {
          return this.#serveIfError(visit, need, String(found.originStatus));
        }
        return this.#serveFound(visit, need, found);
      case 'pass':
        if (isStaleIfErrorStatus(found.status) && this.#staleMayStandIn(need)) {
          found.body.desertIfUnread();
          return this.#serveIfError(visit, need, String(found.status));
        }
        return this.#servePassed(visit, need, found);
      case 'unshareable':
        return { to: 'pass', visit, reason: found.reason, need };
      case 'failed':
        return this.#fail(visit, need, found.failure);
      case 'refused':
        return this.#refuseBusy(visit, found.limit);
      default:
        return found satisfies never;
    }
  }

  #serveFound(visit: KeyedVisit, need: Need, found: FoundEntry): Step | null {
    const { levels, clock, conclusions } = this.#deps;
    const { entry, body, originStatus, collapsed, ownFields } = found;
    const nowMs = clock.nowMs();
    const ttlSeconds = entry.meta.lifetimeSeconds - currentAgeSeconds(entry.meta, nowMs);
    // Another worker had it fresh: nobody asked the origin.
    const status: CacheStatus =
      originStatus === null
        ? { hit: true, ttlSeconds, detail: 'peer' }
        : {
            fwd: need.forward,
            fwdStatus: originStatus,
            stored: originStatus !== 304,
            collapsed,
            ttlSeconds,
            ...(need.stale === null ? {} : { detail: need.reason }),
          };
    const answer = { entry, body, status, ownFields, nowMs };
    const sent = answerWithEntry(visit, levels, answer);
    if (sent === 'to-origin') return { to: 'pass', visit, reason: 'precondition', need };
    const outcome = originStatus === null ? 'hit' : originStatus === 304 ? 'revalidated' : 'miss';
    const reason = originStatus === null ? 'peer' : need.reason;
    conclusions.whenEnded(visit, outcome, reason, sent);
    return null;
  }

  /** The answer to this client's own request, which may not be stored. */
  #servePassed(visit: KeyedVisit, need: Need, found: Found & { readonly kind: 'pass' }): null {
    const { exchange } = visit;
    const status = withKey({ fwd: need.forward, fwdStatus: found.status, detail: found.reason }, visit.key);
    const fields = [...endToEnd(found.fields), 'Via', VIA, 'Cache-Status', cacheStatus(status)];
    fields.push(...this.#deps.positions.ofPassed(visit, found.fields));
    const sink = exchange.stream(found.status, fields);
    let wake: () => void = () => {};
    const reader = readFlight(found.body, null, 0, () => wake());
    wake = pumpContent(reader, exchange, sink, Number.POSITIVE_INFINITY);
    wake();
    this.#deps.conclusions.whenEnded(visit, 'pass', found.reason, found.status);
    return null;
  }

  #pass(visit: KeyedVisit, reason: string, need: Need): null {
    const { passWay, flights } = this.#deps;
    const { exchange } = visit;
    // It is passed as it is: what the key leaves out may steer the answer, but not what is stored.
    const teaches =
      exchange.method === 'HEAD' && !hasUnkeyedFields(exchange.fields, visit.route.config.cache);
    const requestTimeMs = this.#deps.clock.nowMs();
    passWay.enter(visit, reason, {
      outcome: 'pass',
      forward: need.forward,
      path: originForm(visit.path, visit.keyedQuery),
      onHead: (status, fields) => {
        if (teaches) this.#learnFromHead(visit, need, status, fields, requestTimeMs);
        else if (reason === 'uncacheable') {
          const decision = decideStoring(this.#received(visit, status, fields, requestTimeMs));
          if (decision.kind === 'store') flights.forgetUncacheable(this.#fillOf(visit, 'client', need.stale));
        }
        return this.#deps.positions.ofPassed(visit, fields);
      },
      onFailure: (failure) => {
        if (!this.#staleMayStandIn(need)) return false;
        this.#serveIfError(visit, need, failure.kind);
        return true;
      },
    });
    return null;
  }

  /** RFC 9111 §4.3.5: the answer to a HEAD freshens the GET's entry, or shows that it is no longer the same. */
  #learnFromHead(visit: KeyedVisit, need: Need, status: number, fields: Fields, requestTimeMs: number): void {
    const entry = need.stale;
    if (entry === null) return;
    const { levels, fence } = this.#deps;
    const verdict = freshenByHead(entry.meta, status, this.#received(visit, status, fields, requestTimeMs));
    if (verdict.kind === 'invalid') levels.remove(entry.head.key, entry.head.id);
    // An invalidated entry is confirmed by a validator alone, which a HEAD does not send.
    if (verdict.kind === 'freshened' && fence.verdict(entry).kind === 'clear') {
      const head = { ...entry.head, meta: verdict.meta };
      levels.update(new StoredEntry(head, entry.content, levels.sentFieldsOf(head)));
    }
  }

  #fail(visit: KeyedVisit, need: Need, failure: OriginFailure): Step | null {
    if (this.#staleMayStandIn(need)) return this.#serveIfError(visit, need, failure.kind);
    const { exchange, route } = visit;
    const detached = need.stale?.meta.mustRevalidate === true;
    // RFC 9111 §5.2.2.2: what must be revalidated and can't be is answered with 504.
    const status = detached ? 504 : failure.status;
    refuseFailed(
      exchange,
      { ...failure, status },
      route.config.origin,
      withKey({ fwd: need.forward }, visit.key),
    );
    this.#deps.conclusions.whenEnded(visit, 'failed', failure.kind, status);
    return null;
  }

  #staleMayStandIn(need: Need): boolean {
    return need.stale !== null && need.staleUntilMs > this.#deps.clock.nowMs();
  }

  /** RFC 5861 §4. The entry may be invalid, or about to be, since the origin was asked: then nothing stands in. */
  #serveIfError(visit: KeyedVisit, need: Need, why: string): Step | null {
    const entry = need.stale!;
    const { fence, clock } = this.#deps;
    const verdict = fence.verdict(entry).kind;
    if (verdict === 'hard' || verdict === 'unproven') {
      const failure = {
        kind: 'http_response_incomplete',
        status: 502,
        message: why,
        maybeProcessed: true,
      } as const;
      return this.#fail(visit, { ...need, stale: null }, { ...failure, cause: null });
    }
    const ttlSeconds = entry.meta.lifetimeSeconds - currentAgeSeconds(entry.meta, clock.nowMs());
    const status: CacheStatus = { fwd: need.forward, ttlSeconds, detail: 'stale-if-error' };
    return this.#serve(unplaced(visit), entry, status, 'stale', 'stale-if-error');
  }

  #refuseBusy(visit: KeyedVisit, limit: string): null {
    const status = cacheStatus(withKey({ fwd: 'miss', detail: limit }, visit.key));
    refuse(visit.exchange, 503, 'Service Unavailable', 'Too many requests wait for the origin already.', [
      'Retry-After',
      '1',
      'Proxy-Status',
      proxyStatus({ error: 'connection_limit_reached' }),
      'Cache-Status',
      status,
      'Via',
      VIA,
    ]);
    this.#deps.conclusions.whenEnded(visit, 'refused', limit, 503);
    return null;
  }

  #waiterOf(visit: KeyedVisit): Pick<Waiter, 'arrival' | 'arrivedAtMs' | 'request'> {
    return { arrival: visit.arrival, arrivedAtMs: visit.arrivedAtMs, request: visit.request };
  }

  #fillOf(visit: KeyedVisit, priority: FillRequest['priority'], stale: StoredEntry | null): FillRequest {
    const { exchange, route, params, authority, scheme, path, keyedQuery, key, trusted } = visit;
    const { hostHeader } = route.originConfig;
    const { remoteAddress } = exchange;
    // What is stored whole is validated, and the part cut from it.
    const isWhole = stale !== null && stale.meta.part === null;
    const asksPart =
      route.config.cache.rangeMiss === 'pass' && !isWhole && hasField(exchange.fields, 'range');
    const sent = originFields({
      fields: exchange.fields,
      trusted,
      remoteAddress,
      scheme: exchange.scheme,
      authority: exchange.authority,
      hostHeader,
    });
    return {
      key,
      route: route.config.name,
      path,
      query: keyedQuery,
      authority,
      scheme,
      request: { method: 'GET', fields: exchange.fields },
      originFields: [
        ...unkeyedRequestFields(sent, route.config.cache),
        ...(asksPart ? rangeFields(exchange.fields) : []),
      ],
      asksPart,
      routeTags: route.tagsFor(params),
      priority,
    };
  }

  #received(visit: KeyedVisit, status: number, fields: Fields, requestTimeMs: number) {
    return {
      request: { method: 'GET', fields: visit.exchange.fields },
      status,
      fields,
      requestTimeMs,
      responseTimeMs: this.#deps.clock.nowMs(),
      policy: visit.route.config.cache,
      authority: groupSite(visit.route.originConfig, visit.authority),
    };
  }
}

/** What is served stale is as new as nothing. */
function unplaced(visit: KeyedVisit): KeyedVisit {
  return visit.position === null ? visit : { ...visit, position: null };
}

function rangeFields(fields: Fields): string[] {
  return RANGE.flatMap((name) => fieldValues(fields, name).flatMap((value) => [name, value]));
}

const RANGE = ['range', 'if-range'];

/** Makes the key: what is not in it does not steer the origin. */
function keyed(visit: RoutedVisit): KeyedVisit {
  const { exchange, route, scheme, authority, path, query } = visit;
  const seesHost = route.originConfig.hostHeader === 'client';
  const { key, query: keyedQuery } = keyOf({
    origin: route.originKey,
    scheme: seesHost ? scheme : null,
    authority: seesHost ? authority : null,
    path,
    query,
    policy: route.config.cache,
    fields: exchange.fields,
  });
  return { ...visit, key, keyedQuery, request: exchange };
}

const NO_FIELDS: Fields = [];

import { decideBypass } from '../../../policies/bypass.ts';
import { judge } from '../../store/verdict.ts';
import { cacheStatus, type ForwardReason } from '../../../policies/http/cache-status.ts';
import { acceptsEventStream } from '../../../policies/http/event-stream.ts';
import { VIA } from '../../../policies/http/forwarding.ts';
import type { FeedTrust, ReuseDecision } from '../../../policies/model.ts';
import { mayFail } from '../../../policies/rfc9110/preconditions.ts';
import { decideReuse, forbidsStoring, onlyIfCached } from '../../../policies/rfc9111/reuse.ts';
import type { StoredEntry } from '../../store/entry.ts';
import type { Peer } from '../../fetch/peers/peers.ts';
import type { ActiveRoute } from '../../routes/active-route.ts';
import { PrivateFetch, type PrivateFetchDependencies } from './private-fetch.ts';
import { CollapsedFetch, type CollapsedFetchDependencies } from './collapsed-fetch.ts';
import { MISSING, type CacheStep, type FetchReason } from '../cache-steps.ts';
import { EntryServing, type EntryServingDependencies } from '../entry-serving.ts';
import { Refreshes, type RefreshCounters } from '../refreshes.ts';
import { refuse } from '../error-responses.ts';
import {
  keyedStatus,
  keyOfContext,
  ContextRequest,
  type KeyedContext,
  type RoutedContext,
} from '../context.ts';

export interface CacheHandlerDependencies
  extends CollapsedFetchDependencies, PrivateFetchDependencies, EntryServingDependencies {
  readonly maxRefreshes: number;
  trustOf(route: ActiveRoute): FeedTrust;
  /** The worker that may have stored what this one has not, where no disk shows it to both, or not yet; null: none. */
  lenderOf(key: string): Peer | null;
}

/** The way of GET and HEAD: what is stored is found and judged here; the steps that follow from it are taken elsewhere. */
export class CacheHandler {
  readonly #deps: CacheHandlerDependencies;
  readonly #serving: EntryServing;
  readonly #refreshes: Refreshes;
  readonly #asking: CollapsedFetch;
  readonly #askingAlone: PrivateFetch;

  constructor(deps: CacheHandlerDependencies) {
    const run = (first: CacheStep): void => this.#run(first);
    this.#deps = deps;
    this.#serving = new EntryServing(deps);
    this.#refreshes = new Refreshes(deps.flights, deps.clock, deps.maxRefreshes);
    this.#asking = new CollapsedFetch(deps, run);
    this.#askingAlone = new PrivateFetch(deps, run);
  }

  get counters(): Readonly<RefreshCounters> {
    return this.#refreshes.counters;
  }

  enter(visit: RoutedContext): void {
    if (visit.route.config.cache.positionHeader) this.#enterPositioned(visit);
    else this.#begin(visit);
  }

  /** What the request asks for comes first: then everything up to there is in force for whatever answers it. */
  #enterPositioned(visit: RoutedContext): void {
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
  #beginNoted(visit: RoutedContext, passBecause: string | null): void {
    const { positions, fence, clock } = this.#deps;
    const position = positions.note(visit.route);
    const noted = { ...visit, position, arrival: fence.published(), arrivedAtMs: clock.nowMs() };
    if (passBecause === null) this.#begin(noted);
    else this.#passAlone(noted, passBecause);
  }

  #begin(visit: RoutedContext): void {
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
    const bypass = decideBypass(exchange.fields, route.config.cache);
    if (bypass !== null) {
      this.#passAlone(visit, bypass);
      return;
    }
    this.#run({ to: 'lookup', visit: keyed(visit) });
  }

  #passAlone(visit: RoutedContext, reason: string): void {
    this.#deps.passWay.enter(visit, reason, {
      outcome: 'pass',
      forward: 'bypass',
      onHead: (_status, fields) => this.#deps.positions.ofPassed(visit, fields),
    });
  }

  #run(first: CacheStep): void {
    let step: CacheStep | null = first;
    while (step !== null) step = this.#take(step);
  }

  #take(step: CacheStep): CacheStep | null {
    switch (step.to) {
      case 'lookup':
        return this.#lookup(step.visit);
      case 'borrow':
        return this.#borrow(step.visit, step.lender, step.otherwise);
      case 'absent':
        return this.#need(step.visit, step.missing);
      case 'decide':
        return this.#decide(step.visit, step.entry, step.isLatest);
      case 'serve':
        return this.#serving.serve(step.visit, step.entry, step.ttlSeconds);
      case 'serve-stale':
        if (step.refresh) this.#refreshes.begin(step.visit, step.entry);
        return this.#serving.serveStale(step.visit, step.entry, step.ttlSeconds, step.reason);
      case 'obtain':
        return this.#asking.obtain(step.visit, step.need);
      case 'serve-found':
        return this.#serving.serveFound(step.visit, step.need, step.found);
      case 'pass':
        return this.#pass(step.visit, step.reason, step.need);
      case 'stand-in':
        return this.#serving.standIn(step.visit, step.need);
      case 'fail':
        return this.#serving.fail(step.visit, step.need, step.failure);
      case 'fail-alike':
        return this.#serving.failAlike(step.visit, step.need, step.status);
      case 'refuse-uncached':
        return this.#refuseUncached(step.visit);
      default:
        return step satisfies never;
    }
  }

  #lookup(visit: KeyedContext): CacheStep {
    const { entry, miss } = this.#deps.levels.find(visit.key, visit.request, visit.route.config.name);
    if (entry !== null) return { to: 'decide', visit, entry, isLatest: false };
    const missing: FetchReason = miss === 'uri-miss' ? MISSING : { ...MISSING, forward: miss, reason: miss };
    const lender = this.#deps.lenderOf(visit.key);
    const absent: CacheStep = { to: 'absent', visit, missing };
    return lender === null ? absent : { to: 'borrow', visit, lender, otherwise: absent };
  }

  /**
   * An entry of this worker's memory can't be served as fresh: another worker may have stored a later one. Serving this one
   * stale would show what the origin has replaced since.
   */
  #lookFurther(visit: KeyedContext, entry: StoredEntry): CacheStep {
    const latest = this.#deps.levels.findLater(entry, visit.request) ?? entry;
    const lender = this.#deps.lenderOf(visit.key);
    const decide: CacheStep = { to: 'decide', visit, entry: latest, isLatest: true };
    return lender === null ? decide : { to: 'borrow', visit, lender, otherwise: decide };
  }

  /** Another worker may have what this one has not. */
  #borrow(visit: KeyedContext, lender: Peer, otherwise: CacheStep): null {
    const { key, request, route } = visit;
    const { maxVariants } = route.config.cache;
    const { method, fields, written = [] } = request;
    const wanted = { key, request: { method, fields, written }, route: route.config.name, maxVariants };
    lender.borrow(wanted, (entry) => {
      if (visit.exchange.closed) {
        this.#deps.conclusions.abandoned(visit, 'peer');
        return;
      }
      this.#run(entry === null ? otherwise : { to: 'decide', visit, entry, isLatest: true });
    });
    return null;
  }

  #decide(visit: KeyedContext, entry: StoredEntry, isLatest: boolean): CacheStep {
    const { route, request, arrivedAtMs } = visit;
    const decision: ReuseDecision = decideReuse({
      meta: entry.meta,
      request,
      ...judge(this.#deps, entry, route),
      policy: route.config.cache,
      nowMs: arrivedAtMs,
    });
    if (!isLatest && decision.kind !== 'serve' && decision.kind !== 'bypass') {
      return this.#lookFurther(visit, entry);
    }
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
        const { reason } = decision;
        const forward: ForwardReason = reason === 'request' ? 'request' : 'stale';
        return this.#need(visit, { forward, reason, stale: entry });
      }
      default:
        return decision satisfies never;
    }
  }

  /** The origin is to be asked: together with others, or alone where the answer would not be for them. */
  #need(visit: KeyedContext, need: FetchReason): CacheStep {
    const { request, route } = visit;
    if (onlyIfCached(request, route.config.cache)) return { to: 'refuse-uncached', visit };
    if (mayFail(request)) {
      return { to: 'pass', visit, reason: request.method === 'HEAD' ? 'head' : 'precondition', need };
    }
    // What may not be kept is shared with nobody, and spoils nothing for those who would share.
    if (forbidsStoring(request, route.config.cache)) {
      return { to: 'pass', visit, reason: 'request-no-store', need };
    }
    return { to: 'obtain', visit, need };
  }

  /** The origin has to be asked for this client alone, though something that is stored may be there. */
  #pass(visit: KeyedContext, reason: string, need: FetchReason): CacheStep | null {
    if (onlyIfCached(visit.request, visit.route.config.cache)) return { to: 'refuse-uncached', visit };
    return this.#askingAlone.pass(visit, reason, need);
  }

  #refuseUncached(visit: KeyedContext): null {
    const status = cacheStatus(keyedStatus(visit, { detail: 'only-if-cached' }));
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
}

function keyed(visit: RoutedContext): KeyedContext {
  const { key, query: keyedQuery } = keyOfContext(visit);
  // Named one by one, as in the pipeline: once a hit.
  return {
    exchange: visit.exchange,
    site: visit.site,
    arrival: visit.arrival,
    arrivedAtMs: visit.arrivedAtMs,
    trusted: visit.trusted,
    scheme: visit.scheme,
    authority: visit.authority,
    path: visit.path,
    query: visit.query,
    route: visit.route,
    params: visit.params,
    position: visit.position,
    key,
    keyedQuery,
    request: new ContextRequest(visit),
  };
}

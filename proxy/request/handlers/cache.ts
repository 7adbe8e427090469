import { decideBypass } from '../../../policies/bypass.ts';
import { judge } from '../../store/verdict.ts';
import type { ForwardReason } from '../../../policies/http/cache-status.ts';
import { acceptsEventStream } from '../../../policies/http/event-stream.ts';
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

  enter(context: RoutedContext): void {
    if (context.route.config.cache.positionHeader) this.#enterPositioned(context);
    else this.#begin(context);
  }

  /** What the request asks for comes first: then everything up to there is in force for whatever answers it. */
  #enterPositioned(context: RoutedContext): void {
    const { positions } = this.#deps;
    const wanted = positions.wanted(context);
    if (wanted === 'unreachable') {
      this.#beginNoted(context, 'position');
    } else if (wanted.length === 0) {
      this.#beginNoted(context, null);
    } else {
      void positions.reached(wanted, context.route).then((isReached) => {
        if (context.exchange.closed) this.#deps.accessRecords.abandoned(context, 'position');
        else this.#beginNoted(context, isReached ? null : 'position');
      });
    }
  }

  /** The position before the sequence: no flight may answer that began before something up to there was in force. */
  #beginNoted(context: RoutedContext, passBecause: string | null): void {
    const { positions, fence, clock } = this.#deps;
    const position = positions.note(context.route);
    const noted = { ...context, position, arrival: fence.published(), arrivedAtMs: clock.nowMs() };
    if (passBecause === null) this.#begin(noted);
    else this.#passAlone(noted, passBecause);
  }

  #begin(context: RoutedContext): void {
    const { exchange, route } = context;
    if (route.config.cache.freshness === 'none') {
      this.#passAlone(context, 'route');
      return;
    }
    if (acceptsEventStream(exchange.fields)) {
      this.#passAlone(context, 'event-stream');
      return;
    }
    // Content is in no key: a request that has some is for its client alone.
    if (exchange.body !== null) {
      this.#passAlone(context, 'content');
      return;
    }
    const bypass = decideBypass(exchange.fields, route.config.cache);
    if (bypass !== null) {
      this.#passAlone(context, bypass);
      return;
    }
    this.#run({ to: 'lookup', context: keyed(context) });
  }

  #passAlone(context: RoutedContext, reason: string): void {
    this.#deps.passHandler.enter(context, reason, {
      outcome: 'pass',
      forward: 'bypass',
      onHead: (_status, fields) => this.#deps.positions.ofPassed(context, fields),
    });
  }

  #run(first: CacheStep): void {
    let step: CacheStep | null = first;
    while (step !== null) step = this.#take(step);
  }

  #take(step: CacheStep): CacheStep | null {
    switch (step.to) {
      case 'lookup':
        return this.#lookup(step.context);
      case 'borrow':
        return this.#borrow(step.context, step.lender, step.otherwise);
      case 'absent':
        return this.#need(step.context, step.missing);
      case 'decide':
        return this.#decide(step.context, step.entry, step.isLatest);
      case 'serve':
        return this.#serving.serve(step.context, step.entry, step.ttlSeconds);
      case 'serve-stale':
        if (step.refresh) this.#refreshes.begin(step.context, step.entry);
        return this.#serving.serveStale(step.context, step.entry, step.ttlSeconds, step.reason);
      case 'obtain':
        return this.#asking.obtain(step.context, step.need);
      case 'serve-found':
        return this.#serving.serveFound(step.context, step.need, step.found);
      case 'pass':
        return this.#pass(step.context, step.reason, step.need);
      case 'stand-in':
        return this.#serving.standIn(step.context, step.need);
      case 'fail':
        return this.#serving.fail(step.context, step.need, step.failure);
      case 'fail-alike':
        return this.#serving.failAlike(step.context, step.need, step.status);
      case 'refuse-uncached':
        return this.#refuseUncached(step.context);
      default:
        return step satisfies never;
    }
  }

  #lookup(context: KeyedContext): CacheStep {
    const { entry, miss } = this.#deps.tiers.find(context.key, context.request, context.route.config.name);
    if (entry !== null) return { to: 'decide', context, entry, isLatest: false };
    const missing: FetchReason = miss === 'uri-miss' ? MISSING : { ...MISSING, forward: miss, reason: miss };
    const lender = this.#deps.lenderOf(context.key);
    const absent: CacheStep = { to: 'absent', context, missing };
    return lender === null ? absent : { to: 'borrow', context, lender, otherwise: absent };
  }

  /**
   * An entry of this worker's memory can't be served as fresh: another worker may have stored a later one. Serving this one
   * stale would show what the origin has replaced since.
   */
  #lookFurther(context: KeyedContext, entry: StoredEntry): CacheStep {
    const latest = this.#deps.tiers.findLater(entry, context.request) ?? entry;
    const lender = this.#deps.lenderOf(context.key);
    const decide: CacheStep = { to: 'decide', context, entry: latest, isLatest: true };
    return lender === null ? decide : { to: 'borrow', context, lender, otherwise: decide };
  }

  /** Another worker may have what this one has not. */
  #borrow(context: KeyedContext, lender: Peer, otherwise: CacheStep): null {
    const { key, request, route } = context;
    const { maxVariants } = route.config.cache;
    const { method, fields, written = [] } = request;
    const wanted = { key, request: { method, fields, written }, route: route.config.name, maxVariants };
    lender.borrow(wanted, (entry) => {
      if (context.exchange.closed) {
        this.#deps.accessRecords.abandoned(context, 'peer');
        return;
      }
      this.#run(entry === null ? otherwise : { to: 'decide', context, entry, isLatest: true });
    });
    return null;
  }

  #decide(context: KeyedContext, entry: StoredEntry, isLatest: boolean): CacheStep {
    const { route, request, arrivedAtMs } = context;
    const decision: ReuseDecision = decideReuse({
      meta: entry.meta,
      request,
      ...judge(this.#deps, entry, route),
      policy: route.config.cache,
      nowMs: arrivedAtMs,
    });
    if (!isLatest && decision.kind !== 'serve' && decision.kind !== 'bypass') {
      return this.#lookFurther(context, entry);
    }
    switch (decision.kind) {
      case 'serve':
        return { to: 'serve', context, entry, ttlSeconds: decision.ttlSeconds };
      case 'serve-stale': {
        const { ttlSeconds, refresh, reason } = decision;
        return { to: 'serve-stale', context, entry, ttlSeconds, refresh, reason };
      }
      case 'bypass':
        return { to: 'pass', context, reason: decision.reason, need: MISSING };
      case 'revalidate':
      case 'fetch': {
        const { reason } = decision;
        const forward: ForwardReason = reason === 'request' ? 'request' : 'stale';
        return this.#need(context, { forward, reason, stale: entry });
      }
      default:
        return decision satisfies never;
    }
  }

  /** The origin is to be asked: together with others, or alone where the answer would not be for them. */
  #need(context: KeyedContext, need: FetchReason): CacheStep {
    const { request, route } = context;
    if (onlyIfCached(request, route.config.cache)) return { to: 'refuse-uncached', context };
    if (mayFail(request)) {
      return { to: 'pass', context, reason: request.method === 'HEAD' ? 'head' : 'precondition', need };
    }
    // What may not be kept is shared with nobody, and spoils nothing for those who would share.
    if (forbidsStoring(request, route.config.cache)) {
      return { to: 'pass', context, reason: 'request-no-store', need };
    }
    return { to: 'obtain', context, need };
  }

  /** The origin has to be asked for this client alone, though something that is stored may be there. */
  #pass(context: KeyedContext, reason: string, need: FetchReason): CacheStep | null {
    if (onlyIfCached(context.request, context.route.config.cache)) return { to: 'refuse-uncached', context };
    return this.#askingAlone.pass(context, reason, need);
  }

  #refuseUncached(context: KeyedContext): null {
    const cache = keyedStatus(context, { detail: 'only-if-cached' });
    refuse(context, this.#deps.accessRecords, 'only-if-cached', { cache });
    return null;
  }
}

function keyed(context: RoutedContext): KeyedContext {
  const { key, query: keyedQuery } = keyOfContext(context);
  // Named one by one, as in the pipeline: once a hit.
  return {
    exchange: context.exchange,
    site: context.site,
    arrival: context.arrival,
    arrivedAtMs: context.arrivedAtMs,
    trusted: context.trusted,
    scheme: context.scheme,
    authority: context.authority,
    path: context.path,
    query: context.query,
    route: context.route,
    params: context.params,
    position: context.position,
    key,
    keyedQuery,
    request: new ContextRequest(context),
  };
}

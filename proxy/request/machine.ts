/**
 * The life of a client's request, as a state machine. Each step does one thing and returns the next; a step that waits
 * returns null, and the machine goes on when what it waits for has come. `steps.ts` lists the steps. The origin's side
 * is a machine of its own, in `proxy/fetch`.
 */
import { decideBypass } from '../../policies/bypass.ts';
import type { ForwardReason } from '../../policies/http/cache-status.ts';
import { acceptsEventStream } from '../../policies/http/event-stream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import {
  clientSite,
  decideMaxForwards,
  hasForwardingConflict,
  isLooping,
} from '../../policies/http/forwarding.ts';
import { decideTarget } from '../../policies/key.ts';
import { mayFail } from '../../policies/rfc9110/preconditions.ts';
import { isSafeMethod } from '../../policies/rfc9111/invalidation.ts';
import {
  decideReuse,
  forbidsStoring,
  isStaleIfErrorStatus,
  onlyIfCached,
} from '../../policies/rfc9111/reuse.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { FetchedEntry, FetchResult } from '../fetch/fetch-request.ts';
import type { Peer } from '../fetch/peers/peers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ActiveRoute, RuntimeConfiguration } from '../origins/active-route.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Tiers } from '../store/tiers.ts';
import { judge, type Judge } from '../store/verdict.ts';
import type { Clock } from '../threads/clock.ts';
import type { AccessRecords } from './access-records.ts';
import {
  clientOf,
  ContextRequest,
  keyedStatus,
  keyOfContext,
  type KeyedContext,
  type RequestContext,
  type RoutedContext,
} from './context.ts';
import { originFailed, refuse } from './error-responses.ts';
import { MISSING, type FetchReason } from './fetch-requests.ts';
import type { CollapsedFetch } from './handlers/collapsed-fetch.ts';
import { respondAsFinalRecipient } from './handlers/final-recipient.ts';
import type { PassHandler } from './handlers/pass.ts';
import { mayHaveWrites, type PendingReadHandler } from './handlers/pending-read.ts';
import type { PrivateFetch } from './handlers/private-fetch.ts';
import type { PurgeHandler } from './handlers/purge.ts';
import type { Refreshes } from './handlers/refreshes.ts';
import type { EntryHandler, Served } from './handlers/serve.ts';
import type { TunnelHandler } from './handlers/tunnel.ts';
import type { WebhookHandler } from './handlers/webhook.ts';
import { readSmallContent } from './handlers/small-content.ts';
import type { WriteAroundHandler } from './handlers/write-around.ts';
import type { WriteBehindHandler } from './handlers/write-behind.ts';
import type { SentInstead, WriteThroughHandler } from './handlers/write-through.ts';
import type { Positions } from './positions.ts';
import type { Next, Step, StepName } from './steps.ts';

export interface RequestMachineDependencies extends Judge<ActiveRoute> {
  readonly fence: FenceReader;
  readonly clock: Clock;
  readonly tiers: Tiers;
  readonly positions: Positions;
  readonly accessRecords: AccessRecords;
  readonly purge: PurgeHandler;
  readonly webhook: WebhookHandler;
  readonly tunnel: TunnelHandler;
  readonly pass: PassHandler;
  readonly writeAround: WriteAroundHandler;
  readonly writeThrough: WriteThroughHandler;
  readonly writeBehind: WriteBehindHandler;
  readonly pendingReads: PendingReadHandler;
  readonly serve: EntryHandler;
  readonly fetch: CollapsedFetch;
  readonly privateFetch: PrivateFetch;
  readonly refreshes: Refreshes;
  /** The most bytes of a delivery to a feed at this normalised path; null: no feed receives there. */
  maxDeliveryBytes(path: string): number | null;
  /** The worker that may have an entry of the key that is not on disk, or not yet; null: none. */
  peerFor(key: string): Peer | null;
  /** The configuration in force. */
  configuration(): RuntimeConfiguration;
  /** Receives what a step has thrown after a wait. Its request is aborted. */
  onInternalError(error: unknown): void;
  /** Whether the address is one of `listen.trusted-proxies`. */
  isTrusted(remoteAddress: string): boolean;
  /** Called before each step that follows from another. */
  readonly onTransition?: ((from: StepName, to: StepName) => void) | undefined;
}

export class RequestMachine {
  readonly #deps: RequestMachineDependencies;

  constructor(deps: RequestMachineDependencies) {
    this.#deps = deps;
  }

  handle(exchange: Exchange): void {
    this.#goOn('arrive', this.#arrive(exchange));
  }

  /** Takes the step and all that follow from it, until the request is answered or waits. */
  #goOn<From extends StepName>(from: From, next: Next<From>): void {
    const { onTransition } = this.#deps;
    let before: StepName = from;
    let step: Step | null = next;
    while (step !== null) {
      onTransition?.(before, step.to);
      before = step.to;
      step = this.#take(step);
    }
  }

  /**
   * Goes on with a request that has waited. A throw ends only this request, because the caller may have to deliver the same
   * result to other requests.
   */
  #resume<From extends StepName>(from: From, { exchange }: RequestContext, next: () => Next<From>): void {
    try {
      this.#goOn(from, next());
    } catch (error) {
      this.#deps.onInternalError(error);
      exchange.abort();
    }
  }

  #take(step: Step): Step | null {
    const { context } = step;
    switch (step.to) {
      case 'route':
        return this.#route(context);
      case 'key':
        return this.#key(step.context);
      case 'lookup':
        return this.#lookup(step.context);
      case 'decide':
        return this.#decide(step.context, step.entry, step.isLatest);
      case 'serve':
        return this.#serve(step.context, step.entry, step.ttlSeconds);
      case 'look-further':
        return this.#lookFurther(step.context, step.entry);
      case 'ask-peer':
        return this.#askPeer(step.context, step.peer, step.otherwise);
      case 'serve-stale':
        return this.#serveStale(step);
      case 'ask-origin':
        return this.#askOrigin(step.context, step.why);
      case 'fetch':
        return this.#fetch(step.context, step.why);
      case 'serve-fetched':
        return this.#serveFetched(step.context, step.why, step.fetched);
      case 'private-fetch':
        return this.#privateFetch(step.context, step.why, step.reason);
      case 'stand-in':
        return this.#standIn(step.context, step.why);
      case 'discard':
        return this.#discard(step.context, step.entry, step.afterwards);
      case 'pending':
        return this.#pending(step.context);
      case 'position':
        return this.#position(step.context);
      case 'pass':
        this.#deps.pass.enter(step.context, step.reason, this.#passOptions(step.context));
        return null;
      case 'relay':
        this.#deps.fetch.relay(step.context, step.why, step.passed);
        return null;
      case 'write':
        return this.#write(step.context);
      case 'read-content':
        return this.#readContent(step.context, step.policy);
      case 'write-behind':
        return this.#writeBehind(step.context);
      case 'write-around':
        this.#deps.writeAround.enter(step.context, step.sent);
        return null;
      case 'write-through':
        this.#deps.writeThrough.enter(step.context, step.reason, step.sent);
        return null;
      case 'tunnel':
        this.#deps.tunnel.enter(step.context);
        return null;
      case 'purge':
        this.#deps.purge.enter(context);
        return null;
      case 'webhook':
        this.#deps.webhook.enter(context, step.path, step.maxBytes);
        return null;
      case 'final-recipient':
        respondAsFinalRecipient(context, this.#deps.accessRecords);
        return null;
      case 'refuse':
        refuse(context, this.#deps.accessRecords, step.code, step.parts);
        return null;
      default:
        return step satisfies never;
    }
  }

  #arrive(exchange: Exchange): Next<'arrive'> {
    const { fence, clock, isTrusted } = this.#deps;
    const context: RequestContext = {
      exchange,
      configuration: this.#deps.configuration(),
      arrival: fence.published(),
      arrivedAtMs: clock.nowMs(),
      trusted: isTrusted(exchange.remoteAddress),
    };
    return exchange.method === 'PURGE' ? { to: 'purge', context } : { to: 'route', context };
  }

  #route(context: RequestContext): Next<'route'> {
    const { exchange, configuration } = context;
    const { method } = exchange;
    if (isLooping(exchange.fields)) return { to: 'refuse', context, code: 'loop' };
    if (exchange.target === '*' || decideMaxForwards(method, exchange.fields).kind === 'answer') {
      return { to: 'final-recipient', context };
    }
    const target = decideTarget(exchange.target, configuration.config.listen.ambiguousPaths);
    if (target.kind === 'malformed') return { to: 'refuse', context, code: 'malformed-target' };
    if (target.kind === 'ambiguous') return { to: 'refuse', context, code: 'ambiguous-path' };
    const maxBytes = this.#deps.maxDeliveryBytes(target.path);
    if (maxBytes !== null) return { to: 'webhook', context, path: target.path, maxBytes };
    const client = clientOf(context);
    if (hasForwardingConflict(client)) return { to: 'refuse', context, code: 'forwarding-conflict' };
    const { scheme, authority } = clientSite(client);
    const match = configuration.router.match(method, authority, target.path);
    if (match.kind === 'no-route') return { to: 'refuse', context, code: 'no-route' };
    if (match.kind === 'method-not-allowed') {
      const parts = { fields: ['Allow', match.allow.join(', ')] };
      return { to: 'refuse', context, code: 'method-not-allowed', parts };
    }
    const route = configuration.routes.get(match.route.name)!;
    const { path, query } = target;
    // Property by property: a spread of the context costs each request several times as much.
    const routed: RoutedContext = {
      exchange,
      configuration,
      arrival: context.arrival,
      arrivedAtMs: context.arrivedAtMs,
      trusted: context.trusted,
      scheme,
      authority,
      path,
      query,
      route,
      params: match.params,
      position: null,
    };
    if (exchange.upgrade !== null) return { to: 'tunnel', context: routed };
    if (method !== 'GET' && method !== 'HEAD') {
      return isSafeMethod(method)
        ? { to: 'pass', context: routed, reason: 'method' }
        : { to: 'write', context: routed };
    }
    if (target.isAmbiguous) return { to: 'pass', context: routed, reason: 'ambiguous-path' };
    if (this.#deps.pendingReads.concerns(routed)) return { to: 'pending', context: routed };
    return this.#toCache(routed);
  }

  #write(context: RoutedContext): Next<'write'> {
    const { policy } = context.route.config.write;
    switch (policy) {
      case 'around':
      case 'through':
        return { to: 'read-content', context, policy };
      case 'behind':
        return { to: 'write-behind', context };
      default:
        return policy satisfies never;
    }
  }

  #readContent(context: RoutedContext, policy: 'around' | 'through'): null {
    readSmallContent(context, this.#deps.accessRecords, (sent) =>
      this.#resume('read-content', context, () => this.#toOrigin(context, policy, sent)),
    );
    return null;
  }

  /** The order of a URL holds across policies: its writes in the journal go before a write around. */
  #toOrigin(context: RoutedContext, policy: 'around' | 'through', sent: SentInstead): Next<'read-content'> {
    return policy === 'through' || mayHaveWrites(context, this.#deps.fence)
      ? { to: 'write-through', context, reason: policy, sent }
      : { to: 'write-around', context, sent };
  }

  #writeBehind(context: RoutedContext): null {
    this.#deps.writeBehind.enter(context, (reason, sent) =>
      this.#resume('write-behind', context, () => ({ to: 'write-through', context, reason, sent })),
    );
    return null;
  }

  #toCache(context: RoutedContext): Extract<Step, { readonly to: 'position' | 'key' }> {
    return { to: context.route.config.cache.positionHeader ? 'position' : 'key', context };
  }

  /** Writes to the URL may be waiting. After the wait, the request counts as one that arrives now. */
  #pending(context: RoutedContext): Next<'pending'> {
    const { fence, clock, pendingReads } = this.#deps;
    pendingReads.enter(context, () => {
      this.#resume('pending', context, () =>
        this.#toCache({ ...context, arrival: fence.published(), arrivedAtMs: clock.nowMs() }),
      );
    });
    return null;
  }

  /** Waits until everything up to the position that the request demands is in force for whatever answers it. */
  #position(context: RoutedContext): Next<'position'> {
    const { positions, accessRecords } = this.#deps;
    const wanted = positions.wanted(context);
    if (wanted === 'unreachable') return this.#positioned(context, false);
    if (wanted.length === 0) return this.#positioned(context, true);
    void positions.reached(wanted, context.route).then((isReached) => {
      if (context.exchange.closed) accessRecords.abandoned(context, 'position');
      else this.#resume('position', context, () => this.#positioned(context, isReached));
    });
    return null;
  }

  /** Reads the position before the sequence: a flight may not answer if it began before a change up to that position was in force. */
  #positioned(context: RoutedContext, isReached: boolean): Next<'position'> {
    const { positions, fence, clock } = this.#deps;
    const position = positions.note(context.route);
    const noted = { ...context, position, arrival: fence.published(), arrivedAtMs: clock.nowMs() };
    return isReached ? { to: 'key', context: noted } : { to: 'pass', context: noted, reason: 'position' };
  }

  #key(context: RoutedContext): Next<'key'> {
    const reason = whyUnkeyed(context);
    if (reason !== null) return { to: 'pass', context, reason };
    const { key, query } = keyOfContext(context);
    // Property by property, as above: once a hit.
    const keyed: KeyedContext = {
      exchange: context.exchange,
      configuration: context.configuration,
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
      keyedQuery: query,
      request: new ContextRequest(context),
    };
    return { to: 'lookup', context: keyed };
  }

  #lookup(context: KeyedContext): Next<'lookup'> {
    const { entry, miss } = this.#deps.tiers.find(context.key, context.request, context.route.config.name);
    if (entry !== null) return { to: 'decide', context, entry, isLatest: false };
    const why: FetchReason = miss === 'uri-miss' ? MISSING : { ...MISSING, forward: miss, reason: miss };
    const peer = this.#deps.peerFor(context.key);
    const absent = { to: 'ask-origin', context, why } as const;
    return peer === null ? absent : { to: 'ask-peer', context, peer, otherwise: absent };
  }

  /**
   * An entry of this worker's memory can't be served as fresh, and another worker may have stored a later one. Serving this
   * one stale would show what the origin has replaced since.
   */
  #lookFurther(context: KeyedContext, entry: StoredEntry): Next<'look-further'> {
    const latest = this.#deps.tiers.findLater(entry, context.request) ?? entry;
    const peer = this.#deps.peerFor(context.key);
    const decide = { to: 'decide', context, entry: latest, isLatest: true } as const;
    return peer === null ? decide : { to: 'ask-peer', context, peer, otherwise: decide };
  }

  #askPeer(context: KeyedContext, peer: Peer, otherwise: Next<'ask-peer'>): null {
    const { key, request, route } = context;
    const { maxVariants } = route.config.cache;
    const { method, fields, written = [] } = request;
    const wanted = { key, request: { method, fields, written }, route: route.config.name, maxVariants };
    peer.lookUp(wanted, (entry) => {
      if (context.exchange.closed) this.#deps.accessRecords.abandoned(context, 'peer');
      else
        this.#resume('ask-peer', context, () =>
          entry === null ? otherwise : { to: 'decide', context, entry, isLatest: true },
        );
    });
    return null;
  }

  #decide(context: KeyedContext, entry: StoredEntry, isLatest: boolean): Next<'decide'> {
    const { route, request, arrivedAtMs } = context;
    const { trust, verdict } = judge(this.#deps, entry, route);
    const policy = route.config.cache;
    const decision = decideReuse({ meta: entry.meta, request, trust, verdict, policy, nowMs: arrivedAtMs });
    if (!isLatest && decision.kind !== 'serve' && decision.kind !== 'bypass') {
      return { to: 'look-further', context, entry };
    }
    switch (decision.kind) {
      case 'serve':
        return { to: 'serve', context, entry, ttlSeconds: decision.ttlSeconds };
      case 'serve-stale': {
        const { ttlSeconds, refresh, reason } = decision;
        return { to: 'serve-stale', context, entry, ttlSeconds, refresh, reason };
      }
      case 'bypass':
        return { to: 'private-fetch', context, reason: decision.reason, why: MISSING };
      case 'revalidate':
      case 'fetch': {
        const { reason } = decision;
        const forward: ForwardReason = reason === 'request' ? 'request' : 'stale';
        return { to: 'ask-origin', context, why: { forward, reason, stale: entry } };
      }
      default:
        return decision satisfies never;
    }
  }

  #serve(context: KeyedContext, entry: StoredEntry, ttlSeconds: number): Next<'serve'> {
    return afterServing(context, entry, this.#deps.serve.fresh(context, entry, ttlSeconds));
  }

  #serveStale(step: Step & { readonly to: 'serve-stale' }): Next<'serve-stale'> {
    const { context, entry, ttlSeconds, refresh, reason } = step;
    if (refresh) this.#deps.refreshes.begin(context, entry);
    return afterServing(context, entry, this.#deps.serve.stale(context, entry, ttlSeconds, reason));
  }

  /** The origin has to be asked: together with others, or alone where the response would not be for them. */
  #askOrigin(context: KeyedContext, why: FetchReason): Next<'ask-origin'> {
    const { request, route } = context;
    if (onlyIfCached(request, route.config.cache)) return uncached(context);
    if (mayFail(request)) {
      const reason = request.method === 'HEAD' ? 'head' : 'precondition';
      return { to: 'private-fetch', context, reason, why };
    }
    // A response that may not be stored can't be shared, and must not mark the key as one that is never shared.
    if (forbidsStoring(request, route.config.cache)) {
      return { to: 'private-fetch', context, reason: 'request-no-store', why };
    }
    return { to: 'fetch', context, why };
  }

  #fetch(context: KeyedContext, why: FetchReason): Next<'fetch'> {
    const hasBegun = this.#deps.fetch.begin(context, why, (result) =>
      this.#resume('fetch', context, () => this.#fetched(context, why, result)),
    );
    return hasBegun ? null : { to: 'private-fetch', context, reason: 'uncacheable', why };
  }

  #fetched(context: KeyedContext, why: FetchReason, result: FetchResult): Next<'fetch'> {
    const { serve, accessRecords } = this.#deps;
    if (context.exchange.closed) {
      accessRecords.abandoned(context, 'flight');
      if (result.kind === 'pass') result.body.desertIfUnread();
      return null;
    }
    const standsIn = (status: number): boolean =>
      isStaleIfErrorStatus(status) && serve.mayStandIn(context, why);
    switch (result.kind) {
      case 'entry':
        if (standsIn(result.originStatus ?? 200)) return { to: 'stand-in', context, why };
        return { to: 'serve-fetched', context, why, fetched: result };
      case 'pass':
        if (!standsIn(result.status)) return { to: 'relay', context, why, passed: result };
        result.body.desertIfUnread();
        return { to: 'stand-in', context, why };
      case 'private':
        return { to: 'private-fetch', context, reason: result.reason, why };
      case 'failed': {
        if (serve.mayStandIn(context, why)) return { to: 'stand-in', context, why };
        const { kind, status } = result.failure;
        // RFC 9111 §5.2.2.2: an entry that must be revalidated, and can't be, is answered with 504.
        const sent = why.stale?.meta.mustRevalidate === true ? 504 : status;
        const cache = keyedStatus(context, { fwd: why.forward });
        const parts = originFailed(context, { kind, status: sent }, cache, true);
        return { to: 'refuse', context, code: 'origin-failed', parts };
      }
      case 'failing': {
        const { status } = result;
        if (standsIn(status)) return { to: 'stand-in', context, why };
        const cache = { fwd: why.forward, fwdStatus: status, collapsed: true, detail: 'failing' };
        const proxy = { receivedStatus: status, nextHop: context.route.config.origin };
        const parts = { status, cache: keyedStatus(context, cache), proxy };
        return { to: 'refuse', context, code: 'failing', parts };
      }
      case 'refused': {
        const { limit } = result;
        const cache = keyedStatus(context, { fwd: 'miss', detail: limit });
        return { to: 'refuse', context, code: limit, parts: { cache } };
      }
      default:
        return result satisfies never;
    }
  }

  #serveFetched(context: KeyedContext, why: FetchReason, fetched: FetchedEntry): Next<'serve-fetched'> {
    const served = this.#deps.serve.fetched(context, why, fetched);
    // Another lookup would join the flight that has just confirmed this entry.
    const anew = { to: 'private-fetch', context, reason: 'damaged', why: MISSING } as const;
    return afterServing(context, fetched.entry, served, anew);
  }

  /** The origin is asked for this client alone, though a stored response may exist. */
  #privateFetch(context: KeyedContext, why: FetchReason, reason: string): Next<'private-fetch'> {
    if (onlyIfCached(context.request, context.route.config.cache)) return uncached(context);
    this.#deps.privateFetch.begin(context, reason, why, () => {
      if (!this.#deps.serve.mayStandIn(context, why)) return false;
      this.#resume('private-fetch', context, () => ({ to: 'stand-in', context, why }));
      return true;
    });
    return null;
  }

  /** RFC 5861 §4, only where `mayStandIn` says so. */
  #standIn(context: KeyedContext, why: FetchReason): Next<'stand-in'> {
    return afterServing(context, why.stale!, this.#deps.serve.standIn(context, why));
  }

  /**
   * The content of an entry that was to be served is missing or damaged. A lookup before every worker has forgotten the
   * entry could find it again.
   */
  #discard(context: KeyedContext, entry: StoredEntry, afterwards: Next<'discard'>): null {
    void this.#deps.tiers.discard(entry.head).then(() => {
      if (context.exchange.closed) this.#deps.accessRecords.abandoned(context, 'discard');
      else this.#resume('discard', context, () => afterwards);
    });
    return null;
  }

  #passOptions(context: RoutedContext) {
    const { positions } = this.#deps;
    return {
      outcome: 'pass',
      forward: 'bypass',
      onHead: (_status: number, fields: Fields) => positions.ofPassed(context, fields),
    } as const;
  }
}

/** Why the origin is asked where it has to evaluate the client's own conditions. */
const UNMET: FetchReason = { ...MISSING, forward: 'request' };

/** `anew`: taken once an entry whose content is damaged is forgotten. */
function afterServing(
  context: KeyedContext,
  entry: StoredEntry,
  served: Served,
  anew: Next<'discard'> = { to: 'lookup', context },
): Extract<Step, { readonly to: 'private-fetch' | 'discard' }> | null {
  switch (served) {
    case 'sent':
      return null;
    case 'to-origin':
      return { to: 'private-fetch', context, reason: 'precondition', why: UNMET };
    case 'damaged':
      return { to: 'discard', context, entry, afterwards: anew };
    default:
      return served satisfies never;
  }
}

function uncached(context: KeyedContext): Extract<Step, { readonly to: 'refuse' }> {
  const cache = keyedStatus(context, { detail: 'only-if-cached' });
  return { to: 'refuse', context, code: 'only-if-cached', parts: { cache } };
}

/** Why the route's cache has no key for a request; null: it has one. */
function whyUnkeyed({ exchange, route }: RoutedContext): string | null {
  const { cache } = route.config;
  if (cache.freshness === 'none') return 'route';
  if (acceptsEventStream(exchange.fields)) return 'event-stream';
  // Content is in no key: a response to a request that has some is for its client alone.
  if (exchange.body !== null) return 'content';
  return decideBypass(exchange.fields, cache);
}

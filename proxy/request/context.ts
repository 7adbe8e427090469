import { withKey, type CacheStatus } from '../../policies/http/cache-status.ts';
import type { Fields } from '../../policies/http/fields.ts';
import {
  clientAddress,
  originFields,
  writtenFields,
  type ClientView,
} from '../../policies/http/forwarding.ts';
import { holdClientOf } from '../../policies/writes.ts';
import { keyOf } from '../../policies/key.ts';
import type { RequestView } from '../../policies/model.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ActiveRoute, RuntimeConfiguration } from '../routes/active-route.ts';
import type { Outcome } from '../observability/outcome.ts';

/** How far a route's feed had got when a request came: what its answer is at least as new as, if the fence lets it go. */
export interface NotedPosition {
  /** Whether an answer from the origin that attests this shows as much. */
  isShownBy(version: string): boolean;
  /** As `Weir-Position` carries it. */
  readonly field: string;
}

/** One request on its way through the pipeline: what is known of it so far. */
export interface RequestContext {
  readonly exchange: Exchange;
  readonly site: RuntimeConfiguration;
  /** The fence's sequence when it came. */
  readonly arrival: number;
  /** Wall clock when it came: the one `now` of all that is decided about it before the origin is asked. */
  readonly arrivedAtMs: number;
  readonly trusted: boolean;
}

/** A request whose route is known. */
export interface RoutedContext extends RequestContext {
  readonly route: ActiveRoute;
  readonly params: Readonly<Record<string, string>>;
  /** As a trusted proxy tells them, else as the request has them. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /** Normalised. */
  readonly path: string;
  /** As sent, normalised; empty: none. */
  readonly query: string;
  /** How far the route's feed had got when it came; null: its answer does not say. */
  readonly position: NotedPosition | null;
}

/** A request on the cache handler. */
export interface KeyedContext extends RoutedContext {
  readonly key: string;
  /** As keyed, and as the origin is sent it. */
  readonly keyedQuery: string;
  readonly request: RequestView;
}

/** How a request ended, for those who count and log. */
export interface RequestEnd {
  readonly outcome: Outcome;
  readonly reason: string;
}

/**
 * The key of a GET of the request's target with the request's fields, and the query that the origin is sent then: what is not
 * in it does not steer the origin.
 */
export function keyOfContext(context: RoutedContext): { readonly key: string; readonly query: string } {
  const { exchange, route, scheme, authority, path, query } = context;
  return keyOf({
    origin: route.originKey,
    seesHost: route.originConfig.hostHeader === 'client',
    scheme,
    authority,
    path,
    query,
    policy: route.config.cache,
    fields: exchange.fields,
  });
}

/** With the key, where the configuration asks for it. */
export function keyedStatus(
  { site, key }: Pick<KeyedContext, 'site' | 'key'>,
  status: CacheStatus,
): CacheStatus {
  return site.config.cacheStatus.key ? withKey(status, key) : status;
}

/** A request as forwarding fields are judged by. */
export function clientOf({ exchange, trusted, site }: RequestContext): ClientView {
  return {
    fields: exchange.fields,
    version: exchange.version,
    trusted,
    forwarding: site.config.listen.forwarding,
    remoteAddress: exchange.remoteAddress,
    scheme: exchange.scheme,
    authority: exchange.authority,
  };
}

/** Whose holds those of this request are counted with. */
export function holdClient(context: RequestContext): string {
  return holdClientOf(clientAddress(clientOf(context)));
}

/** What the origin is sent of a request, its end-to-end fields. */
export function sentFields(context: RoutedContext): string[] {
  const { config, originConfig } = context.route;
  return originFields({
    ...clientOf(context),
    hostHeader: originConfig.hostHeader,
    keyed: config.cache.key.headers,
  });
}

/** A request's request as decisions see it. What Weir writes is made only where a Vary names it, which few do. */
export class ContextRequest implements RequestView {
  readonly method: string;
  readonly fields: Fields;
  readonly #context: RoutedContext;
  #written: Fields | null = null;

  constructor(context: RoutedContext) {
    this.#context = context;
    this.method = context.exchange.method;
    this.fields = context.exchange.fields;
  }

  get written(): Fields {
    return (this.#written ??= writtenFields(sentFields(this.#context)));
  }
}

import { withKey, type CacheStatus } from '../../policies/http/cache-status.ts';
import type { Fields } from '../../policies/http/fields.ts';
import {
  clientAddress,
  originFields,
  writtenFields,
  type ClientView,
} from '../../policies/http/forwarding.ts';
import { holdClientOf } from '../../policies/writes.ts';
import { keyOnRoute } from '../../policies/key.ts';
import type { RequestView } from '../../policies/model.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ActiveRoute, RuntimeConfiguration } from '../origins/active-route.ts';

/** The feed position when a request arrived: a response that the fence passes is at least as new. */
export interface NotedPosition {
  /** Whether a response of the origin that attests this version is at least as new. */
  isShownBy(version: string): boolean;
  /** The value of `Weir-Position`. */
  readonly field: string;
}

/** What is known of a request before its route is. */
export interface RequestContext {
  readonly exchange: Exchange;
  readonly configuration: RuntimeConfiguration;
  /** The fence's sequence on arrival. */
  readonly arrival: number;
  /** Wall clock on arrival: the `now` of every decision before the origin is asked. */
  readonly arrivedAtMs: number;
  readonly trusted: boolean;
}

/** A request whose route is known. */
export interface RoutedContext extends RequestContext {
  readonly route: ActiveRoute;
  readonly params: Readonly<Record<string, string>>;
  /** As told by a trusted proxy, else the request's own. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /** Normalised. */
  readonly path: string;
  /** As sent, but normalised; empty: none. */
  readonly query: string;
  /** The feed position on arrival; null: the response does not tell one. */
  readonly position: NotedPosition | null;
}

/** A GET or HEAD that has a cache key. */
export interface KeyedContext extends RoutedContext {
  readonly key: string;
  /** The query in the key, which the origin is sent. */
  readonly keyedQuery: string;
  readonly request: RequestView;
}

/**
 * The key of a GET of the request's target with the request's fields, and the query that the origin is sent with it: what is
 * not in the key does not steer the origin.
 */
export function keyOfContext(context: RoutedContext): { readonly key: string; readonly query: string } {
  return keyOnRoute(context.route, context, context.exchange.fields);
}

/** Adds the key where `cache-status: { key: true }` asks for it. */
export function keyedStatus(
  { configuration, key }: Pick<KeyedContext, 'configuration' | 'key'>,
  status: CacheStatus,
): CacheStatus {
  return configuration.config.cacheStatus.key ? withKey(status, key) : status;
}

/** The request as the rules of forwarding fields see it. */
export function clientOf({ exchange, trusted, configuration }: RequestContext): ClientView {
  return {
    fields: exchange.fields,
    version: exchange.version,
    trusted,
    forwarding: configuration.config.listen.forwarding,
    remoteAddress: exchange.remoteAddress,
    scheme: exchange.scheme,
    authority: exchange.authority,
  };
}

/** The client whose holds this request's holds count towards. */
export function holdClient(context: RequestContext): string {
  return holdClientOf(clientAddress(clientOf(context)));
}

/** The end-to-end fields that the origin is sent. */
export function sentFields(context: RoutedContext | KeyedContext): readonly string[] {
  return 'request' in context && context.request instanceof ContextRequest
    ? context.request.sent
    : makeSentFields(context);
}

function makeSentFields(context: RoutedContext): string[] {
  const { config, originConfig } = context.route;
  return originFields({
    ...clientOf(context),
    hostHeader: originConfig.hostHeader,
    keyed: config.cache.key.headers,
  });
}

/** A request as decisions see it. `written`, what Weir sends, is computed only if a Vary field names such a field. */
export class ContextRequest implements RequestView {
  readonly method: string;
  readonly fields: Fields;
  readonly #context: RoutedContext;
  #sent: readonly string[] | null = null;
  #written: Fields | null = null;

  constructor(context: RoutedContext) {
    this.#context = context;
    this.method = context.exchange.method;
    this.fields = context.exchange.fields;
  }

  /** The end-to-end fields that the origin is sent, made once. */
  get sent(): readonly string[] {
    return (this.#sent ??= makeSentFields(this.#context));
  }

  get written(): Fields {
    return (this.#written ??= writtenFields(this.sent));
  }
}

import type { Fields } from './http/fields.ts';

/** A request as decisions see it: the method in its own case, fields as received. */
export interface RequestView {
  readonly method: string;
  readonly fields: Fields;
  /** The fields that Weir sends to the origin in place of the client's; absent: the request is not sent. */
  readonly written?: Fields;
}

/**
 * Metadata of a stored response: plain data, computed once on storing and written to disk as it is. Times are
 * wall-clock milliseconds since 1970; lifetimes and ages are seconds, as in RFC 9111.
 */
export interface StoredMeta {
  readonly status: number;
  /**
   * As stored: without hop-by-hop fields, fields named by Connection, and fields that RFC 9111 §3.1 or the route
   * exclude.
   */
  readonly fields: Fields;
  readonly requestTimeMs: number;
  readonly responseTimeMs: number;
  /** corrected_initial_age, RFC 9111 §4.2.3. */
  readonly initialAgeSeconds: number;
  /** freshness_lifetime, RFC 9111 §4.2.1, or the route's lifetime. */
  readonly lifetimeSeconds: number;
  readonly lifetimeSource: LifetimeSource;
  /** The lifetime by the response's own fields where the route replaced it; otherwise equal to `lifetimeSeconds`. */
  readonly headerLifetimeSeconds: number;
  /** date_value, RFC 9111 §4.2.3: the Date field's, or the time of receipt where that is absent or malformed. */
  readonly dateMs: number;
  /** no-cache: to be validated before every use. */
  readonly noCache: boolean;
  /**
   * RFC 9111 §5.2.2.2, §5.2.2.8, §5.2.2.10: a client's max-stale does not apply (must-revalidate, proxy-revalidate,
   * s-maxage).
   */
  readonly mustRevalidate: boolean;
  /** RFC 5861 or the route's window; 0: none, or forbidden by the response. */
  readonly staleWhileRevalidateSeconds: number;
  readonly staleIfErrorSeconds: number;
  /** Lower-case names of Vary, sorted. A response with `*` is never stored. */
  readonly vary: readonly string[];
  /** The normalised values of those fields in the request that was answered; null: the field was absent. */
  readonly varyValues: readonly (string | null)[];
  /** As sent, including `W/`; null: none or malformed. */
  readonly etag: string | null;
  readonly lastModifiedMs: number | null;
  /** RFC 9110 §8.8.2.2: Last-Modified is at least a second before Date. */
  readonly lastModifiedStrong: boolean;
  /** RFC 9111 §3.3: the range of a stored 206; null: the whole. */
  readonly part: {
    readonly first: number;
    readonly last: number;
    readonly completeBytes: number | null;
  } | null;
  /**
   * Tags that the response named, as `tagOfName` (Surrogate-Key, Cache-Tag, xkey) and `tagOfGroup` (Cache-Groups)
   * write them.
   */
  readonly responseTags: readonly string[];
}

export type LifetimeSource =
  | 'targeted'
  | 's-maxage'
  | 'max-age'
  | 'expires'
  | 'heuristic'
  | 'default-ttl'
  | 'fixed'
  | 'negative-ttl'
  | 'until-changed'
  | 'none';

/** The fence's verdict on an entry's tags and floor. */
export type Verdict =
  | { readonly kind: 'clear' }
  /** Never served again unless the origin confirms it. */
  | { readonly kind: 'hard' }
  /** Stale since then; the stale windows count from there. */
  | { readonly kind: 'soft'; readonly invalidatedAtMs: number }
  /** Fetched so soon after an invalidation that the origin may have responded with the old state (read lag). */
  | { readonly kind: 'possibly-stale' };

/**
 * How far a route's entries may be trusted in the present state of its feed; `untracked`: the route names no feed.
 */
export type FeedTrust = 'untracked' | 'live' | 'revalidate' | 'use-headers' | 'bypass';

export type ReuseDecision =
  | { readonly kind: 'serve'; readonly ageSeconds: number; readonly ttlSeconds: number }
  /**
   * Served stale at once, within stale-while-revalidate or a request's max-stale. `refresh`: revalidate in the
   * background.
   */
  | {
      readonly kind: 'serve-stale';
      readonly refresh: boolean;
      readonly ageSeconds: number;
      readonly ttlSeconds: number;
      readonly reason: 'stale-while-revalidate' | 'max-stale';
    }
  /** `staleIfErrorUntilMs`: wall clock until which it may be served if the origin fails; 0: never. */
  | { readonly kind: 'revalidate'; readonly reason: RevalidateReason; readonly staleIfErrorUntilMs: number }
  /**
   * The entry can be neither used nor validated, for example after a hard invalidation without a strong validator.
   */
  | { readonly kind: 'fetch'; readonly reason: RevalidateReason; readonly staleIfErrorUntilMs: number }
  | { readonly kind: 'bypass'; readonly reason: 'feed-lost' };

export type RevalidateReason =
  'stale' | 'no-cache' | 'invalidated' | 'unproven' | 'feed-not-live' | 'request';

/** Why a response is not stored: the words of logs, metrics and the `detail` of Cache-Status. */
export type NotStoredReason =
  | 'method'
  | 'status'
  | 'no-store'
  | 'private'
  | 'authorization'
  | 'set-cookie'
  | 'vary-star'
  | 'vary-too-large'
  | 'no-freshness'
  | 'no-cache'
  | 'must-understand'
  | 'partial'
  | 'too-large'
  | 'too-many-tags'
  | 'request-no-store'
  | 'route'
  | 'event-stream'
  /** It is an error, and a stored response may be served in its place. */
  | 'stale-kept'
  | 'malformed';

export type StoringDecision =
  | { readonly kind: 'store'; readonly meta: StoredMeta }
  | { readonly kind: 'not'; readonly reason: NotStoredReason };

import type { Fields } from './http/fields.ts';

/** A request as decisions see it. Method in its own case; fields as received. */
export interface RequestView {
  readonly method: string;
  readonly fields: Fields;
  /** The fields that Weir writes for the origin in place of the client's own; absent: nothing is sent to it. */
  readonly written?: Fields;
}

/**
 * What is known of a stored response: plain data, decided once when it is stored and written to disk as it is.
 * Times are wall-clock milliseconds since 1970; lifetimes and ages in seconds, as in RFC 9111.
 */
export interface StoredMeta {
  readonly status: number;
  /** As stored: without hop-by-hop fields, those named by Connection, and what §3.1 and the route leave out. */
  readonly fields: Fields;
  readonly requestTimeMs: number;
  readonly responseTimeMs: number;
  /** corrected_initial_age, RFC 9111 §4.2.3. */
  readonly initialAgeSeconds: number;
  /** freshness_lifetime, RFC 9111 §4.2.1, or the route's. */
  readonly lifetimeSeconds: number;
  readonly lifetimeSource: LifetimeSource;
  /** What the response's own fields gave, where the route replaced it; else the same as `lifetimeSeconds`. */
  readonly headerLifetimeSeconds: number;
  /** date_value, RFC 9111 §4.2.3: the Date field's, or the time of receipt where it is absent or malformed. */
  readonly dateMs: number;
  /** Must be validated before every use (no-cache). */
  readonly noCache: boolean;
  /** Served stale by no wish of a client: must-revalidate, proxy-revalidate, s-maxage (§5.2.2.2, .8, .10). */
  readonly mustRevalidate: boolean;
  /** RFC 5861 or the route's; 0: none, also where the response forbids it. */
  readonly staleWhileRevalidateSeconds: number;
  readonly staleIfErrorSeconds: number;
  /** Lower-case names that Vary gave, sorted; `*` is never stored. */
  readonly vary: readonly string[];
  /** The normalised values of those fields in the request that this answered; null: the field was absent. */
  readonly varyValues: readonly (string | null)[];
  /** As sent, `W/` included; null: none or malformed. */
  readonly etag: string | null;
  readonly lastModifiedMs: number | null;
  /** RFC 9110 §8.8.2.2: Last-Modified is at least a second (or more, where clocks differ) older than Date. */
  readonly lastModifiedStrong: boolean;
  /** For a stored 206: which part of the whole it is (RFC 9111 §3.3); null: whole. */
  readonly part: {
    readonly first: number;
    readonly last: number;
    readonly completeBytes: number | null;
  } | null;
  /** Tags that the response itself named, as `tagOfName` (Surrogate-Key, Cache-Tag, xkey) and `tagOfGroup` (Cache-Groups) write them. */
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

/** What the fence says of an entry's tags and floor. */
export type Verdict =
  | { readonly kind: 'clear' }
  /** Never served again unless the origin confirms it. */
  | { readonly kind: 'hard' }
  /** Stale since then: the stale windows count from there. */
  | { readonly kind: 'soft'; readonly invalidatedAtMs: number }
  /** Fetched so soon after an invalidation that the origin may still have answered with the old state (read lag). */
  | { readonly kind: 'unproven' };

/** How far an entry of a route may be believed, as its feed stands: `untracked` where the route names no feed. */
export type FeedTrust = 'untracked' | 'live' | 'revalidate' | 'use-headers' | 'bypass';

export type ReuseDecision =
  | { readonly kind: 'serve'; readonly ageSeconds: number; readonly ttlSeconds: number }
  /** Within stale-while-revalidate, or a request's max-stale: served at once; `refresh` says whether to ask the origin behind it. */
  | {
      readonly kind: 'serve-stale';
      readonly refresh: boolean;
      readonly ageSeconds: number;
      readonly ttlSeconds: number;
      readonly reason: 'stale-while-revalidate' | 'max-stale';
    }
  /** `staleIfErrorUntilMs`: until when (wall clock) it may be served if the origin fails; 0: it may not. */
  | { readonly kind: 'revalidate'; readonly reason: RevalidateReason; readonly staleIfErrorUntilMs: number }
  /** The entry can't be used or validated (hard-invalidated without a strong validator, for one): fetch anew. */
  | { readonly kind: 'fetch'; readonly reason: RevalidateReason; readonly staleIfErrorUntilMs: number }
  | { readonly kind: 'bypass'; readonly reason: 'feed-lost' };

export type RevalidateReason =
  'stale' | 'no-cache' | 'invalidated' | 'unproven' | 'feed-not-live' | 'request';

/** Why a response is not stored; the words of logs, metrics and Cache-Status `detail`. */
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
  /** An error, and what is stored may be served in its place. */
  | 'stale-kept'
  | 'malformed';

export type StoringDecision =
  | { readonly kind: 'store'; readonly meta: StoredMeta }
  | { readonly kind: 'not'; readonly reason: NotStoredReason };

/** The lifetime, age and tags of an entry as sent to a CDN in front of Weir (`cache.downstream`). */
import type { RouteCacheConfig } from '../config/config.ts';
import type { LifetimeSource, StoredMeta } from '../model.ts';
import {
  directiveSeconds,
  MAX_DELTA_SECONDS,
  parseDeltaSeconds,
  parseDirectives,
} from '../rfc9111/cache-control.ts';
import { formatAge, heuristicLifetime } from '../rfc9111/freshness.ts';
import { parseHttpDate } from './dates.ts';
import { withoutFields } from './fields.ts';
import type { Fields } from './fields.ts';

const OWN_TAGS: ReadonlySet<string> = new Set(['surrogate-key', 'cache-tag', 'xkey']);

/** The entry's fields, with the route's Cache-Control and CDN-Cache-Control in place of the origin's. */
export function downstreamFields(fields: Fields, policy: RouteCacheConfig): Fields {
  const { cacheControl, cdnCacheControl, keepTags } = policy.downstream;
  if (!rewritesLifetime(policy) && keepTags) return fields;
  const replaced = new Set(keepTags ? [] : OWN_TAGS);
  // RFC 9111 §5.3: a cache that reads Expires would find the origin's lifetime there.
  if (cacheControl !== null) replaced.add('cache-control').add('expires').add('pragma');
  if (cdnCacheControl !== null) replaced.add('cdn-cache-control');
  const sent = withoutFields(fields, replaced);
  if (cacheControl !== null) sent.push('Cache-Control', cacheControl);
  if (cdnCacheControl !== null) sent.push('CDN-Cache-Control', cdnCacheControl);
  return sent;
}

/** Whether the route replaces the lifetime that the origin states. */
export function rewritesLifetime({ downstream }: RouteCacheConfig): boolean {
  return downstream.cacheControl !== null || downstream.cdnCacheControl !== null;
}

/** The fields of a response that is not stored: the origin's own, without tags that the CDN must not see. */
export function passedFields(fields: Fields, policy: RouteCacheConfig): Fields {
  return policy.downstream.keepTags ? fields : withoutFields(fields, OWN_TAGS);
}

/** The age and lifetime of an entry when it is sent. */
export interface ServedStanding {
  readonly ageSeconds: number;
  /** The lifetime that applies now: while the entry's feed is lost, the one that its response stated. */
  readonly lifetimeSeconds: number;
  readonly stated: () => StatedLifetimes;
}

/** The longest lifetimes that the fields of a response state, in seconds. */
export interface StatedLifetimes {
  /** The longest in fields that the route sets. */
  readonly byRoute: number;
  /** The longest in the origin's fields, or the heuristic lifetime if those state none. */
  readonly byOrigin: number;
}

/**
 * The Age to send, in seconds. A lifetime that the route sets begins here: it counts from the age that the response
 * had on receipt, unless that age already exceeds it. If the route keeps an entry longer than the origin's lifetime,
 * the time in this cache does not count either; otherwise no CDN could store it. A rewritten CDN-Cache-Control alone
 * changes nothing for readers of Cache-Control, who get the full age.
 *
 * No downstream cache keeps the entry longer than Weir: towards the end of its lifetime here the Age increases. A
 * rewritten lifetime longer than the entry's is the operator's choice and counts from when the origin sent the entry.
 */
export function downstreamAgeSeconds(
  meta: StoredMeta,
  policy: RouteCacheConfig,
  standing: ServedStanding,
): number {
  const { ageSeconds, lifetimeSeconds } = standing;
  const isOfRoute = ROUTE_LIFETIMES.has(meta.lifetimeSource);
  if (!rewritesLifetime(policy) && !isOfRoute) return ageSeconds;
  const { byRoute, byOrigin } = standing.stated();
  const leftSeconds = lifetimeSeconds - ageSeconds;
  /** The least Age by which a reader keeps the response no longer than Weir does, or than the response states. */
  const leastFor = (statedSeconds: number): number =>
    statedSeconds - leftSeconds - Math.max(0, statedSeconds - lifetimeSeconds);
  const leastSeconds = Math.max(leastFor(byRoute), isOfRoute ? byOrigin - leftSeconds : leastFor(byOrigin));
  return Math.max(startingAgeSeconds(meta, policy, standing), Math.ceil(leastSeconds));
}

function startingAgeSeconds(
  meta: StoredMeta,
  policy: RouteCacheConfig,
  { ageSeconds, lifetimeSeconds }: ServedStanding,
): number {
  const { cacheControl } = policy.downstream;
  const ownAgeSeconds = Math.min(ageSeconds, meta.initialAgeSeconds);
  if (cacheControl !== null)
    return ownAgeSeconds < 1 || isWithin(ownAgeSeconds, cacheControl) ? ownAgeSeconds : 0;
  const prolonged = policy.freshness !== 'headers' && lifetimeSeconds > meta.headerLifetimeSeconds;
  return prolonged ? ownAgeSeconds : ageSeconds;
}

/** Lifetimes that the response itself does not state. */
const ROUTE_LIFETIMES: ReadonlySet<LifetimeSource> = new Set([
  'fixed',
  'until-changed',
  'negative-ttl',
  'default-ttl',
]);

export function statedLifetimes(
  { sentFields, meta }: { readonly sentFields: Fields; readonly meta: StoredMeta },
  { downstream }: RouteCacheConfig,
): StatedLifetimes {
  const stated = { byRoute: 0, byOrigin: 0 };
  let expiresSeconds: number | null = null;
  let isStated = downstream.cacheControl !== null;
  for (let i = 0; i + 1 < sentFields.length; i += 2) {
    const name = sentFields[i]!.toLowerCase();
    if (name === 'expires') expiresSeconds = secondsUntil(sentFields[i + 1]!, meta.dateMs);
    if (!name.endsWith('-control')) continue;
    const lifetimes = lifetimesIn(sentFields[i + 1]!);
    const isRewritten =
      (name === 'cache-control' && downstream.cacheControl !== null) ||
      (name === 'cdn-cache-control' && downstream.cdnCacheControl !== null);
    const by = isRewritten ? 'byRoute' : 'byOrigin';
    stated[by] = Math.max(stated[by], ...lifetimes);
    if (name === 'cache-control' && lifetimes.length > 0) isStated = true;
  }
  // RFC 9111 §5.3: Expires does not apply where Cache-Control states a lifetime.
  const silent = expiresSeconds ?? heuristicLifetime(meta.lastModifiedMs, meta.dateMs).seconds;
  return isStated ? stated : { ...stated, byOrigin: Math.max(stated.byOrigin, silent) };
}

/**
 * Whether a response that was just fetched is stale when it is sent: the origin or a cache in front of it served it
 * expired, or another worker's copy expired in transit. A response directly from the origin without a lifetime is
 * current; how long caches keep it is up to the route.
 */
export function isObtainedStale(standing: Omit<ServedStanding, 'stated'>, isFromOrigin: boolean): boolean {
  const { ageSeconds, lifetimeSeconds } = standing;
  if (isFromOrigin && lifetimeSeconds <= 0) return false;
  return lifetimeSeconds <= ageSeconds;
}

/**
 * The fields that mark a stale response as stale for every downstream cache: an Age not below any lifetime in
 * Cache-Control, Expires, Surrogate-Control and targeted fields (RFC 9213); and a lifetime of 0 where a field states
 * none, because a cache could use a heuristic one (RFC 9111 §4.2.2), or one beyond any Age. `sent`: the fields of a
 * 200.
 */
export function staleFields(sent: Fields, dateMs: number, ageSeconds: number): string[] {
  let longestSeconds = 0;
  let isStated = false;
  const silent = new Map<string, string>();
  for (let i = 0; i + 1 < sent.length; i += 2) {
    const name = sent[i]!.toLowerCase();
    const value = sent[i + 1]!;
    if (name === 'expires') {
      const seconds = secondsUntil(value, dateMs);
      longestSeconds = Math.max(longestSeconds, seconds);
      if (seconds <= MAX_DELTA_SECONDS) isStated = true;
    } else if (name.endsWith('-control')) {
      const lifetimes = lifetimesIn(value);
      longestSeconds = Math.max(longestSeconds, ...lifetimes);
      if (name === 'cache-control') {
        const directives = parseDirectives([value.replaceAll(';', ',')]);
        if (typeof directiveSeconds(directives, 'max-age') === 'number') isStated = true;
      } else if (lifetimes.length === 0 && name.endsWith('-cache-control')) silent.set(name, sent[i]!);
    }
  }
  // RFC 9213 §2.2: a cache that implements a targeted field ignores Cache-Control.
  const fields = [...silent.values()].flatMap((name) => [name, 'max-age=0']);
  if (!isStated) fields.push('Cache-Control', 'max-age=0');
  fields.push('Age', formatAge(Math.max(ageSeconds, longestSeconds)));
  return fields;
}

function secondsUntil(expires: string, dateMs: number): number {
  const expiresMs = parseHttpDate(expires, dateMs);
  return expiresMs === null ? 0 : Math.ceil((expiresMs - dateMs) / 1000);
}

/** Every lifetime that a lenient reader might use, in seconds: of different values it may take any. */
function lifetimesIn(value: string): number[] {
  return [...value.matchAll(LIFETIME)].map(([, digits]) => parseDeltaSeconds(digits!) ?? 0);
}

const LIFETIME = /(?:max-age|s-maxage)[ \t]*=[ \t]*"?(\d+)/gi;

function isWithin(ageSeconds: number, cacheControl: string): boolean {
  const directives = parseDirectives([cacheControl]);
  const lifetime = directiveSeconds(directives, 's-maxage') ?? directiveSeconds(directives, 'max-age');
  return typeof lifetime !== 'number' || ageSeconds < lifetime;
}

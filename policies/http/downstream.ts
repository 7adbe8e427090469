/** What the CDN in front is told of an entry: its lifetime there, its age and its tags (`cache.downstream`). */
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

/** The entry's fields with the route's Cache-Control and CDN-Cache-Control in place of the origin's. */
export function downstreamFields(fields: Fields, policy: RouteCacheConfig): Fields {
  const { cacheControl, cdnCacheControl, keepTags } = policy.downstream;
  if (!rewritesLifetime(policy) && keepTags) return fields;
  const replaced = new Set(keepTags ? [] : OWN_TAGS);
  // Expires would say otherwise to a cache that reads it (RFC 9111 §5.3).
  if (cacheControl !== null) replaced.add('cache-control').add('expires').add('pragma');
  if (cdnCacheControl !== null) replaced.add('cdn-cache-control');
  const sent = withoutFields(fields, replaced);
  if (cacheControl !== null) sent.push('Cache-Control', cacheControl);
  if (cdnCacheControl !== null) sent.push('CDN-Cache-Control', cdnCacheControl);
  return sent;
}

/** Whether what is stored is told with another lifetime than the origin's. */
export function rewritesLifetime({ downstream }: RouteCacheConfig): boolean {
  return downstream.cacheControl !== null || downstream.cdnCacheControl !== null;
}

/** The fields of an answer that is not stored: as the origin said, but for tags that are not for the CDN. */
export function passedFields(fields: Fields, policy: RouteCacheConfig): Fields {
  return policy.downstream.keepTags ? fields : withoutFields(fields, OWN_TAGS);
}

/** How an entry stands when it is sent. */
export interface ServedStanding {
  readonly ageSeconds: number;
  /** The one that Weir holds it to now: while its feed is lost, the response's own. */
  readonly lifetimeSeconds: number;
  readonly told: () => ToldLifetimes;
}

/** The longest lifetimes that the fields of an answer tell, in seconds. */
export interface ToldLifetimes {
  /** In fields of the route's own. */
  readonly byRoute: number;
  /** In the origin's fields, or by the usual guess where those tell none. */
  readonly byOrigin: number;
}

/**
 * The Age to send. A rewritten lifetime begins here, so what counts is the age that the response came with, as long as it
 * leaves something of that lifetime. An entry that the route keeps beyond the origin's own lifetime is vouched for by
 * Weir: its time here does not count, or no CDN could keep it. A rewritten CDN-Cache-Control alone changes nothing for
 * those who read Cache-Control: they are told the whole age.
 *
 * Nobody keeps it longer than Weir does: towards the end of its lifetime here the Age grows with it. A rewritten lifetime
 * that is longer than the entry's is the operator's word, and counts from when the origin sent the entry.
 */
export function downstreamAgeSeconds(
  meta: StoredMeta,
  policy: RouteCacheConfig,
  standing: ServedStanding,
): number {
  const { ageSeconds, lifetimeSeconds } = standing;
  const isOfRoute = ROUTE_LIFETIMES.has(meta.lifetimeSource);
  if (!rewritesLifetime(policy) && !isOfRoute) return ageSeconds;
  const { byRoute, byOrigin } = standing.told();
  const leftSeconds = lifetimeSeconds - ageSeconds;
  /** By which a reader may take it for fresh no longer than what is left here, or than what it is told in all. */
  const leastFor = (toldSeconds: number): number =>
    toldSeconds - leftSeconds - Math.max(0, toldSeconds - lifetimeSeconds);
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

/** Not told by the response: whoever reads that would find another. */
const ROUTE_LIFETIMES: ReadonlySet<LifetimeSource> = new Set([
  'fixed',
  'until-changed',
  'negative-ttl',
  'default-ttl',
]);

export function toldLifetimes(
  { sentFields, meta }: { readonly sentFields: Fields; readonly meta: StoredMeta },
  { downstream }: RouteCacheConfig,
): ToldLifetimes {
  const told = { byRoute: 0, byOrigin: 0 };
  let expiresSeconds: number | null = null;
  let isTold = downstream.cacheControl !== null;
  for (let i = 0; i + 1 < sentFields.length; i += 2) {
    const name = sentFields[i]!.toLowerCase();
    if (name === 'expires') expiresSeconds = secondsUntil(sentFields[i + 1]!, meta.dateMs);
    if (!name.endsWith('-control')) continue;
    const lifetimes = lifetimesIn(sentFields[i + 1]!);
    const isRewritten =
      (name === 'cache-control' && downstream.cacheControl !== null) ||
      (name === 'cdn-cache-control' && downstream.cdnCacheControl !== null);
    const by = isRewritten ? 'byRoute' : 'byOrigin';
    told[by] = Math.max(told[by], ...lifetimes);
    if (name === 'cache-control' && lifetimes.length > 0) isTold = true;
  }
  // Beside a lifetime in Cache-Control nobody reads Expires (RFC 9111 §5.3).
  const silent = expiresSeconds ?? heuristicLifetime(meta.lastModifiedMs, meta.dateMs).seconds;
  return isTold ? told : { ...told, byOrigin: Math.max(told.byOrigin, silent) };
}

/**
 * Whether an answer that was just obtained had expired when it is sent: the origin, or a cache before it, served what was
 * too old already, or another worker's copy expired on its way. An origin that gives no lifetime and was asked just now
 * has answered with the current state: how long others keep that is the route's to say.
 */
export function isObtainedStale(standing: Omit<ServedStanding, 'told'>, isFromOrigin: boolean): boolean {
  const { ageSeconds, lifetimeSeconds } = standing;
  if (isFromOrigin && lifetimeSeconds <= 0) return false;
  return lifetimeSeconds <= ageSeconds;
}

/**
 * The fields that make an answer served stale as stale for every cache behind Weir: an Age that is not below any lifetime
 * that the answer tells, in Cache-Control, Expires, Surrogate-Control and targeted fields (RFC 9213) alike; and a lifetime
 * of 0 where those who read a field are told none, so that nobody guesses one (RFC 9111 §4.2.2), or one that no Age
 * reaches. `sent`: the fields of a 200.
 */
export function staleFields(sent: Fields, dateMs: number, ageSeconds: number): string[] {
  let longestSeconds = 0;
  let isTold = false;
  const silent = new Map<string, string>();
  for (let i = 0; i + 1 < sent.length; i += 2) {
    const name = sent[i]!.toLowerCase();
    const value = sent[i + 1]!;
    if (name === 'expires') {
      const seconds = secondsUntil(value, dateMs);
      longestSeconds = Math.max(longestSeconds, seconds);
      if (seconds <= MAX_DELTA_SECONDS) isTold = true;
    } else if (name.endsWith('-control')) {
      const lifetimes = lifetimesIn(value);
      longestSeconds = Math.max(longestSeconds, ...lifetimes);
      if (name === 'cache-control') {
        const directives = parseDirectives([value.replaceAll(';', ',')]);
        if (typeof directiveSeconds(directives, 'max-age') === 'number') isTold = true;
      } else if (lifetimes.length === 0 && name.endsWith('-cache-control')) silent.set(name, sent[i]!);
    }
  }
  // Beside a targeted field nobody who reads it reads Cache-Control (RFC 9213 §2.2).
  const fields = [...silent.values()].flatMap((name) => [name, 'max-age=0']);
  if (!isTold) fields.push('Cache-Control', 'max-age=0');
  fields.push('Age', formatAge(Math.max(ageSeconds, longestSeconds)));
  return fields;
}

function secondsUntil(expires: string, dateMs: number): number {
  const expiresMs = parseHttpDate(expires, dateMs);
  return expiresMs === null ? 0 : Math.ceil((expiresMs - dateMs) / 1000);
}

/** Every lifetime that a reader might find, however lenient: of values that differ it may take any. */
function lifetimesIn(value: string): number[] {
  return [...value.matchAll(LIFETIME)].map(([, digits]) => parseDeltaSeconds(digits!) ?? 0);
}

const LIFETIME = /(?:max-age|s-maxage)[ \t]*=[ \t]*"?(\d+)/gi;

function isWithin(ageSeconds: number, cacheControl: string): boolean {
  const directives = parseDirectives([cacheControl]);
  const lifetime = directiveSeconds(directives, 's-maxage') ?? directiveSeconds(directives, 'max-age');
  return typeof lifetime !== 'number' || ageSeconds < lifetime;
}

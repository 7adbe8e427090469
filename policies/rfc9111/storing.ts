/** RFC 9111 §3: whether a response may be stored, and the metadata that is stored with it. */
import type { OriginRule, RouteCacheConfig } from '../config/config.ts';
import { formatHttpDate, parseHttpDate } from '../http/dates.ts';
import { parseEtag } from '../http/etags.ts';
import { isEventStream } from '../http/event-stream.ts';
import { COOKIES, hasField, singleValue } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { endToEndWithout } from '../http/hop-by-hop.ts';
import type { NotStoredReason, RequestView, StoredMeta, StoringDecision } from '../model.ts';
import {
  cacheControlOf,
  directiveScope,
  directiveSeconds,
  governingDirectives,
  hasDirective,
} from './cache-control.ts';
import type { Directives } from './cache-control.ts';
import {
  allowsHeuristics,
  dateValueMs,
  explicitLifetime,
  heuristicLifetime,
  initialAgeSeconds,
  statedDateMs,
} from './freshness.ts';
import type { Lifetime } from './freshness.ts';
import { partOf } from './parts.ts';
import { responseTags } from './response-tags.ts';
import { varyOf, varyValues } from './vary.ts';

export interface ReceivedResponse {
  readonly request: RequestView;
  readonly status: number;
  /** The fields as the origin sent them. */
  readonly fields: Fields;
  /** Wall clock: when the request was sent, and when the response's head arrived. */
  readonly requestTimeMs: number;
  readonly responseTimeMs: number;
  /** The wall clock at `responseTimeMs`, where lifetimes count by another clock. Date is compared with this one. */
  readonly receiptMs?: number;
  readonly policy: RouteCacheConfig;
  /** The site of the groups that Cache-Groups names (RFC 9875), from `groupSite`. */
  readonly authority: string;
}

/** Whether the response may be stored (RFC 9111 §3). `sharing.ts` decides whether waiting requests may be given it. */
export function decideStoring(received: ReceivedResponse): StoringDecision {
  const part = received.status === 206 ? partOf(received.request, received.fields) : null;
  if (part === 'malformed') return { kind: 'not', reason: 'partial' };
  return decideKeeping(received, part);
}

/**
 * `decideStoring` where the part is known already; null: the whole. An update (`updated`) keeps the stored request's
 * Vary values if it varies by the same fields.
 */
export function decideKeeping(
  received: ReceivedResponse,
  part: StoredMeta['part'],
  updated: StoredMeta | null = null,
): StoringDecision {
  const { policy, status, fields } = received;
  const { directives, targeted } = governingDirectives(fields, policy.targetedFields);
  const refused = refusal(received, directives);
  if (refused !== null) return { kind: 'not', reason: refused };

  const vary = varyOf(fields);
  if (vary.kind === 'star') return { kind: 'not', reason: 'vary-star' };
  const kept = storedFields(received, directives);
  if (hasField(kept, 'set-cookie')) return { kind: 'not', reason: 'set-cookie' };
  const tags = responseTags(fields, received.authority);
  if (tags.length > policy.maxTags) return { kind: 'not', reason: 'too-many-tags' };

  const values =
    updated !== null && updated.vary.join() === vary.names.join()
      ? updated.varyValues
      : varyValues(vary.names, received.request, policy.maxVaryBytes);
  if (values === 'too-large') return { kind: 'not', reason: 'vary-too-large' };

  const { requestTimeMs, responseTimeMs, receiptMs = responseTimeMs } = received;
  const dateMs = dateValueMs(fields, receiptMs);
  const validators = validatorsOf(fields, dateMs);
  const own = ownLifetime(received, {
    directives,
    targeted,
    dateMs,
    lastModifiedMs: validators.lastModifiedMs,
  });
  const lifetime = routeLifetime(policy, status, own);
  if (lifetime === null) return { kind: 'not', reason: 'no-freshness' };

  const ageBy = (apparentAgeMs: number) =>
    initialAgeSeconds(fields, { requestTimeMs, responseTimeMs, apparentAgeMs });
  const clockAge = ageBy(receiptMs - dateMs);
  const age = ROUTE_LIFETIMES.has(lifetime.source) ? ageBy(0) : clockAge;
  const meta: StoredMeta = {
    status,
    fields: kept,
    requestTimeMs,
    responseTimeMs,
    initialAgeSeconds: age,
    lifetimeSeconds: lifetime.seconds,
    lifetimeSource: lifetime.source,
    headerLifetimeSeconds: Math.max(0, (own?.seconds ?? 0) - (clockAge - age)),
    dateMs,
    noCache: !ignores(policy, 'no-cache') && directiveScope(directives, 'no-cache').kind === 'whole',
    mustRevalidate: forbidsStale(directives),
    ...staleWindows(received, directives),
    vary: vary.names,
    varyValues: values,
    ...validators,
    part,
    responseTags: tags,
  };
  const useless = uselessness(meta);
  return useless === null ? { kind: 'store', meta } : { kind: 'not', reason: useless };
}

/** ETag and Last-Modified, as far as they can be used for validation: repeated or malformed ones can't. */
export function validatorsOf(
  fields: Fields,
  dateMs: number,
): Pick<StoredMeta, 'etag' | 'lastModifiedMs' | 'lastModifiedStrong'> {
  const etag = singleValue(fields, 'etag');
  const lastModified = singleValue(fields, 'last-modified');
  const lastModifiedMs = lastModified === null ? null : parseHttpDate(lastModified, dateMs);
  return {
    etag: etag === null ? null : parseEtag(etag),
    lastModifiedMs,
    lastModifiedStrong: lastModifiedMs !== null && isStrongDate(fields, lastModifiedMs),
  };
}

/** §5.2.2.3: the statuses whose caching rules are implemented, for `must-understand`. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408,
  409, 410, 411, 413, 414, 415, 417, 421, 422, 425, 426, 500, 501, 502, 503, 504, 505,
]);

/**
 * Responses to something that is not in the key: a precondition, a range, the client's rate, its proxy or its network
 * (RFC 9110 §15.4.5, §15.5.8, §15.5.13, §15.5.17; RFC 6585 §3 to §6).
 */
const NEVER_STORED: ReadonlySet<number> = new Set([304, 407, 412, 416, 428, 429, 431, 511]);

const ROUTE_STATUSES: ReadonlySet<number> = new Set([200, 203, 300, 301, 308]);
/**
 * Lifetimes of the route, which count from receipt plus the Age that the response states. Date shortens only the
 * response's own lifetime: with an origin whose clock is slow it would leave nothing of the route's.
 */
const ROUTE_LIFETIMES: ReadonlySet<Lifetime['source']> = new Set(['fixed', 'until-changed', 'negative-ttl']);
const NEGATIVE_STATUSES: ReadonlySet<number> = new Set([404, 410]);

function refusal(received: ReceivedResponse, directives: Directives): NotStoredReason | null {
  const { request, policy, status, fields } = received;
  if (request.method !== 'GET') return 'method';
  if (policy.freshness === 'none') return 'route';
  if (status < 200 || status > 599 || NEVER_STORED.has(status)) return 'status';
  if (isEventStream(fields)) return 'event-stream';
  if (policy.clientDirectives === 'honor' && hasDirective(cacheControlOf(request.fields), 'no-store')) {
    return 'request-no-store';
  }
  const mustUnderstand = hasDirective(directives, 'must-understand');
  if (mustUnderstand && !UNDERSTOOD.has(status)) return 'must-understand';
  // §5.2.2.3: a no-store next to must-understand is for caches that don't implement must-understand.
  if (hasDirective(directives, 'no-store') && !mustUnderstand && !ignores(policy, 'no-store'))
    return 'no-store';
  if (directiveScope(directives, 'private').kind === 'whole' && !ignores(policy, 'private')) return 'private';
  if (
    hasField(request.fields, 'authorization') &&
    !allowsAuthorized(directives) &&
    !ignores(policy, 'authorization')
  ) {
    return 'authorization';
  }
  return null;
}

/** §3.5. An s-maxage without a usable value allows nothing. */
function allowsAuthorized(directives: Directives): boolean {
  if (hasDirective(directives, 'public') || hasDirective(directives, 'must-revalidate')) return true;
  return typeof directiveSeconds(directives, 's-maxage') === 'number';
}

/** §4.2.4 for a shared cache: s-maxage implies proxy-revalidate (§5.2.2.10). */
function forbidsStale(directives: Directives): boolean {
  return FORBIDDING_STALE.some((name) => hasDirective(directives, name));
}

const FORBIDDING_STALE = ['must-revalidate', 'proxy-revalidate', 's-maxage'];

function ignores(policy: RouteCacheConfig, rule: OriginRule): boolean {
  return policy.ignoreOrigin.includes(rule);
}

const PROXY_FIELDS = ['proxy-authenticate', 'proxy-authentication-info', 'proxy-authorization'];
/** Age is kept as a number. */
const NEVER_KEPT: ReadonlySet<string> = new Set(['age', ...PROXY_FIELDS]);
const KEPT_WITHOUT_COOKIES: ReadonlySet<string> = new Set([...NEVER_KEPT, ...COOKIES]);

/**
 * §3.1: the fields without hop-by-hop ones, those that `no-cache` and `private` name, and those that the route
 * strips. A missing or malformed Date is replaced by the time of receipt (RFC 9110 §6.6.1).
 */
function storedFields(received: ReceivedResponse, directives: Directives): string[] {
  const { policy, fields, responseTimeMs, receiptMs = responseTimeMs } = received;
  const never = policy.setCookie === 'strip' ? KEPT_WITHOUT_COOKIES : NEVER_KEPT;
  const hasDate = statedDateMs(fields, receiptMs) !== null;
  const named = namedFields(policy, directives);
  if (named.length === 0 && hasDate) return endToEndWithout(fields, never);
  const left = new Set([...never, ...named]);
  if (hasDate) return endToEndWithout(fields, left);
  return [...endToEndWithout(fields, left.add('date')), 'Date', formatHttpDate(receiptMs)];
}

/** The fields that the response forbids to store (§5.2.2.4, §5.2.2.7). */
function namedFields(policy: RouteCacheConfig, directives: Directives): string[] {
  const named: string[] = [];
  for (const name of ['no-cache', 'private'] as const) {
    const scope = directiveScope(directives, name);
    if (scope.kind === 'fields' && !ignores(policy, name)) named.push(...scope.names);
  }
  return named;
}

/** The response's explicit or heuristic lifetime; null where §3 does not allow storing it. */
function ownLifetime(
  received: ReceivedResponse,
  known: { directives: Directives; targeted: boolean; dateMs: number; lastModifiedMs: number | null },
): Lifetime | null {
  const explicit = explicitLifetime({ fields: received.fields, ...known });
  if (explicit !== null) return explicit;
  if (received.status === 206 || !allowsHeuristics(received.status, known.directives)) return null;
  const { defaultTtlMs, freshness } = received.policy;
  if (freshness === 'headers' && defaultTtlMs !== null) {
    return { seconds: defaultTtlMs / 1000, source: 'default-ttl' };
  }
  return heuristicLifetime(known.lastModifiedMs, known.dateMs);
}

/** The lifetime that the route sets instead, for the statuses to which `fixed` and `until-changed` apply. */
function routeLifetime(policy: RouteCacheConfig, status: number, own: Lifetime | null): Lifetime | null {
  switch (policy.freshness) {
    case 'headers':
    case 'none':
      return own;
    case 'fixed':
      if (ROUTE_STATUSES.has(status)) return { seconds: (policy.ttlMs ?? 0) / 1000, source: 'fixed' };
      break;
    case 'until-changed':
      if (ROUTE_STATUSES.has(status)) return { seconds: policy.maxTtlMs / 1000, source: 'until-changed' };
      break;
    default:
      return policy.freshness satisfies never;
  }
  if (NEGATIVE_STATUSES.has(status)) return { seconds: policy.negativeTtlMs / 1000, source: 'negative-ttl' };
  return own;
}

/**
 * RFC 5861, within §4.2.4. A window that the route sets is overridden only by must-revalidate; s-maxage and
 * proxy-revalidate disable only the response's own windows. An error has no window: it would be served after the
 * origin has recovered.
 */
function staleWindows(
  { policy, status }: ReceivedResponse,
  directives: Directives,
): Pick<StoredMeta, 'staleWhileRevalidateSeconds' | 'staleIfErrorSeconds'> {
  if (status >= 500) return { staleWhileRevalidateSeconds: 0, staleIfErrorSeconds: 0 };
  const { staleWhileRevalidateMs, staleIfErrorMs } = policy;
  return {
    staleWhileRevalidateSeconds: windowSeconds(staleWhileRevalidateMs, directives, 'stale-while-revalidate'),
    staleIfErrorSeconds: windowSeconds(staleIfErrorMs, directives, 'stale-if-error'),
  };
}

function windowSeconds(routeMs: number | null, directives: Directives, name: string): number {
  if (hasDirective(directives, 'must-revalidate')) return 0;
  if (routeMs !== null) return routeMs / 1000;
  if (forbidsStale(directives)) return 0;
  const seconds = directiveSeconds(directives, name);
  return seconds === null || seconds === 'invalid' ? 0 : seconds;
}

/** The reason why the stored response could never be used; null: it could. */
function uselessness(meta: StoredMeta): NotStoredReason | null {
  if (meta.etag !== null || meta.lastModifiedMs !== null) return null;
  if (meta.noCache) return 'no-cache';
  const staleSeconds = Math.max(meta.staleWhileRevalidateSeconds, meta.staleIfErrorSeconds);
  return meta.lifetimeSeconds + staleSeconds > meta.initialAgeSeconds ? null : 'no-freshness';
}

/**
 * RFC 9110 §8.8.2.2: Last-Modified is strong if it is at least a second before Date, both by the origin's clock. The
 * time of receipt can't stand in for Date.
 */
function isStrongDate(fields: Fields, lastModifiedMs: number): boolean {
  const dateMs = statedDateMs(fields, lastModifiedMs);
  return dateMs !== null && dateMs - lastModifiedMs >= 1000;
}

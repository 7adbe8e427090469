/** RFC 9111 §4.2: how long a response is fresh and how old it is. All functions are given the clock's value. */
import { parseHttpDate } from '../http/dates.ts';
import { fieldValue, fieldValues, singleValue, trimmed } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import type { LifetimeSource, StoredMeta } from '../model.ts';
import { directiveSeconds, MAX_DELTA_SECONDS, parseDeltaSeconds } from './cache-control.ts';
import type { Directives } from './cache-control.ts';

export interface Lifetime {
  readonly seconds: number;
  readonly source: LifetimeSource;
}

/** RFC 9111 §4.2.2: the suggested tenth of the time since the last modification, limited to a day. */
const HEURISTIC_FRACTION = 0.1;
const HEURISTIC_MAX_SECONDS = 86_400;

/** RFC 9110 §15.1, without 206: a part is reused only with explicit freshness. */
const HEURISTICALLY_CACHEABLE: ReadonlySet<number> = new Set([
  200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501,
]);

/** RFC 9111 §4.2.2: whether a heuristic lifetime is allowed, by the status or by `public`. */
export function allowsHeuristics(status: number, directives: Directives): boolean {
  return HEURISTICALLY_CACHEABLE.has(status) || directives.arguments.has('public');
}

/**
 * The lifetime that the response states, by the precedence of §4.2.1; null where it states none. A malformed lifetime
 * is 0: the response is stale.
 */
export function explicitLifetime(given: {
  readonly fields: Fields;
  readonly directives: Directives;
  readonly targeted: boolean;
  readonly dateMs: number;
}): Lifetime | null {
  const { fields, directives, targeted, dateMs } = given;
  const shared = directiveSeconds(directives, 's-maxage');
  if (shared !== null) return { seconds: orStale(shared), source: targeted ? 'targeted' : 's-maxage' };
  const maxAge = directiveSeconds(directives, 'max-age');
  if (maxAge !== null) return { seconds: orStale(maxAge), source: targeted ? 'targeted' : 'max-age' };
  // RFC 9213 §2.2: a targeted field replaces Cache-Control and Expires.
  if (targeted) return null;
  const expires = fieldValues(fields, 'expires');
  return expires.length === 0 ? null : { seconds: expiresSeconds(expires, dateMs), source: 'expires' };
}

/** §4.2.2: a tenth of the representation's age when it was sent; 0 unless Last-Modified is before Date. */
export function heuristicLifetime(lastModifiedMs: number | null, dateMs: number): Lifetime {
  if (lastModifiedMs === null || lastModifiedMs >= dateMs) return { seconds: 0, source: 'none' };
  const seconds = Math.floor(((dateMs - lastModifiedMs) / 1000) * HEURISTIC_FRACTION);
  return { seconds: Math.min(seconds, HEURISTIC_MAX_SECONDS), source: 'heuristic' };
}

/**
 * date_value (§4.2.3): Date, or the time of receipt where Date is absent, repeated or malformed (RFC 9110 §6.6.1).
 */
export function dateValueMs(fields: Fields, responseTimeMs: number): number {
  return statedDateMs(fields, responseTimeMs) ?? responseTimeMs;
}

/** Date; null where it is absent, repeated or malformed. */
export function statedDateMs(fields: Fields, nowMs: number): number | null {
  const value = singleValue(fields, 'date');
  return value === null ? null : parseHttpDate(value, nowMs);
}

/** age_value (§5.1): the first list member counts; one that is not a non-negative integer is ignored. */
export function ageValueSeconds(fields: Fields): number {
  const value = fieldValue(fields, 'age');
  return value === undefined ? 0 : (parseDeltaSeconds(trimmed(value.split(',', 1)[0]!)) ?? 0);
}

/** corrected_initial_age (§4.2.3) in seconds, with fractions. */
export function initialAgeSeconds(
  fields: Fields,
  {
    requestTimeMs,
    responseTimeMs,
    apparentAgeMs,
  }: {
    readonly requestTimeMs: number;
    readonly responseTimeMs: number;
    /** By the wall clock, like Date. */
    readonly apparentAgeMs: number;
  },
): number {
  const apparentAge = Math.max(0, Math.floor(apparentAgeMs / 1000));
  const responseDelay = Math.max(0, responseTimeMs - requestTimeMs) / 1000;
  return Math.min(Math.max(apparentAge, ageValueSeconds(fields) + responseDelay), MAX_DELTA_SECONDS);
}

/** current_age (§4.2.3) in seconds, with fractions. A clock that was set back gives at least the initial age. */
export function currentAgeSeconds(
  meta: Pick<StoredMeta, 'initialAgeSeconds' | 'responseTimeMs'>,
  nowMs: number,
): number {
  return meta.initialAgeSeconds + Math.max(0, nowMs - meta.responseTimeMs) / 1000;
}

/** The Age field's value (§5.1): whole seconds. */
export function formatAge(ageSeconds: number): string {
  return String(Math.min(Math.floor(ageSeconds), MAX_DELTA_SECONDS));
}

function orStale(seconds: number | 'invalid'): number {
  return seconds === 'invalid' ? 0 : seconds;
}

/** §5.3: an invalid date, `0` in particular, means already expired. So do several different dates. */
function expiresSeconds(values: readonly string[], dateMs: number): number {
  if (new Set(values.map(trimmed)).size > 1) return 0;
  const expiresMs = parseHttpDate(values[0]!, dateMs);
  if (expiresMs === null) return 0;
  return Math.min(Math.max(0, Math.floor((expiresMs - dateMs) / 1000)), MAX_DELTA_SECONDS);
}

/** RFC 9111 §5.2.1 and §5.4: a request's cache directives. A malformed value gets the most cautious reading. */
import { fieldValues } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { directiveSeconds, hasDirective, parseDirectives } from './cache-control.ts';
import type { Directives } from './cache-control.ts';

export interface RequestDirectives {
  readonly noCache: boolean;
  readonly noStore: boolean;
  readonly onlyIfCached: boolean;
  /** Infinity: no limit. */
  readonly maxAgeSeconds: number;
  readonly minFreshSeconds: number;
  /** The longest acceptable time after the end of the lifetime; -1: a stale response is not acceptable, Infinity: no limit. */
  readonly maxStaleSeconds: number;
  /** RFC 5861 §4. */
  readonly staleIfErrorSeconds: number;
}

export const NO_REQUEST_DIRECTIVES: RequestDirectives = {
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  maxAgeSeconds: Infinity,
  minFreshSeconds: 0,
  maxStaleSeconds: -1,
  staleIfErrorSeconds: 0,
};

/** Scans the names once; returns the constant where neither Cache-Control nor Pragma is present. */
export function requestDirectives(fields: Fields): RequestDirectives {
  let pragma = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!;
    if (name.length === CACHE_CONTROL.length && name.toLowerCase() === CACHE_CONTROL) {
      return readDirectives(parseDirectives(fieldValues(fields, CACHE_CONTROL)));
    }
    if (name.length === PRAGMA.length && name.toLowerCase() === PRAGMA) pragma = true;
  }
  return pragma && asksNoCache(fields) ? { ...NO_REQUEST_DIRECTIVES, noCache: true } : NO_REQUEST_DIRECTIVES;
}

const CACHE_CONTROL = 'cache-control';
const PRAGMA = 'pragma';

/** §5.4: Pragma counts only where Cache-Control is absent. */
function asksNoCache(fields: Fields): boolean {
  return hasDirective(parseDirectives(fieldValues(fields, PRAGMA)), 'no-cache');
}

function readDirectives(directives: Directives): RequestDirectives {
  return {
    noCache: hasDirective(directives, 'no-cache'),
    noStore: hasDirective(directives, 'no-store'),
    onlyIfCached: hasDirective(directives, 'only-if-cached'),
    maxAgeSeconds: seconds(directives, 'max-age', { absent: Infinity, broken: 0 }),
    minFreshSeconds: seconds(directives, 'min-fresh', { absent: 0, broken: Infinity }),
    maxStaleSeconds: maxStale(directives),
    staleIfErrorSeconds: seconds(directives, 'stale-if-error', { absent: 0, broken: 0 }),
  };
}

function seconds(
  directives: Directives,
  name: string,
  otherwise: { absent: number; broken: number },
): number {
  const value = directiveSeconds(directives, name);
  if (value === null) return otherwise.absent;
  return value === 'invalid' ? otherwise.broken : value;
}

/** §5.2.1.2: without a value, a stale response of any age is acceptable. */
function maxStale(directives: Directives): number {
  const given = directives.arguments.get('max-stale');
  if (given !== undefined && !directives.malformed && given.every(({ kind }) => kind === 'none'))
    return Infinity;
  return seconds(directives, 'max-stale', { absent: -1, broken: -1 });
}

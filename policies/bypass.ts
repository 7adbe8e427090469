/** Decides by a request's fields whether it bypasses the cache, whatever is stored. */
import type { RouteCacheConfig } from './config/config.ts';
import { readCookies } from './http/cookies.ts';
import { hasFieldLike } from './http/field-names.ts';
import type { Fields } from './http/fields.ts';
import { namesOthers } from './http/hop-by-hop.ts';

export type BypassReason =
  /** Connection removes fields that the key or Vary covers, so that the origin would not see them. */
  | 'connection'
  /** Origins may read different values for a cookie that the route names. */
  | 'ambiguous-cookies'
  | 'bypass-cookie'
  | 'bypass-header';

/**
 * The reason for which the request bypasses the cache. Null: it may be answered from the cache, because the origin sees
 * everything that the key and Vary cover, and no bypass rule applies.
 */
export function decideBypass(
  fields: Fields,
  { key, bypass }: Pick<RouteCacheConfig, 'key' | 'bypass'>,
): BypassReason | null {
  if (namesOthers(fields)) return 'connection';
  if (bypass.headers.some((name) => hasFieldLike(fields, name))) return 'bypass-header';
  if (bypass.cookies.length > 0) {
    const reading = readCookies(fields, bypass.cookies);
    if (reading.kind === 'ambiguous') return 'ambiguous-cookies';
    if (reading.values.size > 0) return 'bypass-cookie';
  }
  if (key.cookies.length > 0 && readCookies(fields, key.cookies).kind === 'ambiguous') {
    return 'ambiguous-cookies';
  }
  return null;
}

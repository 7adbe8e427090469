/** Which requests are passed to the origin for their client alone, because of their fields, whatever is stored. */
import type { RouteCacheConfig } from './config/config.ts';
import { readCookies } from './http/cookies.ts';
import { hasFieldLike } from './http/field-names.ts';
import type { Fields } from './http/fields.ts';
import { namesOthers } from './http/hop-by-hop.ts';

export type BypassReason =
  /** Connection takes away what the key and Vary would see, and the origin would not. */
  | 'connection'
  /** Origins differ in what they read as a cookie that the route names. */
  | 'ambiguous-cookies'
  | 'bypass-cookie'
  | 'bypass-header';

/** Null: what the key and Vary see of the request is what the origin sees, and the route lets none by. */
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

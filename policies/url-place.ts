/** A URL as operators, feeds and origins name it, a path on every host or an absolute URL, and its tags. */
import type { QueryKey } from './config/config.ts';
import { keyedQuery, normalizeTarget } from './key.ts';
import { normalAuthority } from './names.ts';
import { tagOfUrl } from './tags.ts';

export interface UrlPlace {
  /** Host in lower case, with its port unless it is the scheme's default; null: every host. */
  readonly authority: string | null;
  readonly path: string;
  readonly query: string;
}

/**
 * Null where the text is neither a path nor an absolute http(s) URL, or can't be normalised. Characters beyond ASCII
 * are encoded as UTF-8, those of a host as Punycode.
 */
export function parseUrlPlace(text: string): UrlPlace | null {
  const absolute = /^(https?):\/\/([^/?#]+)([^#]*)/i.exec(text);
  if (absolute === null) return placed(null, text);
  const [, scheme, authority, rest] = absolute as unknown as [string, string, string, string];
  const normal = normalAuthority(authority);
  if (normal === null) return null;
  const ownPort = scheme.toLowerCase() === 'https' ? ':443' : ':80';
  const host = normal.endsWith(ownPort) ? normal.slice(0, -ownPort.length) : normal;
  return placed(host, rest.startsWith('/') ? rest : `/${rest}`);
}

/**
 * The tags of exactly this URL. An entry has the query as its route keys it, so there is a tag for the URL under each
 * of the routes' rules.
 */
export function urlTags(place: UrlPlace, rules: readonly QueryKey[]): string[] {
  const { authority, path, query } = place;
  return [...new Set(rules.map((rule) => tagOfUrl(authority, path, keyedQuery(query, rule))))];
}

/**
 * Whether the path looks like a wildcard pattern of other caches: a `*` at an end of a segment. A purge of the literal
 * path would reach nothing and still succeed. A `*` inside a segment is an ordinary character.
 */
export function hasWildcard(path: string): boolean {
  return path.split('/').some((segment) => segment.startsWith('*') || segment.endsWith('*'));
}

function placed(authority: string | null, target: string): UrlPlace | null {
  const normal = normalizeTarget(target.toWellFormed().replace(/[\u0080-\u{10ffff}]+/gu, encodeURIComponent));
  return normal === null ? null : { authority, ...normal };
}

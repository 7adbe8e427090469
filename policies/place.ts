/** A URL as operators, feeds and origins name it: a path on every host, or absolute; and the tags that find it. */
import type { QueryKey } from './config/config.ts';
import { keyedQuery, normalizeTarget } from './key.ts';
import { normalAuthority } from './names.ts';
import { tagOfUrl } from './tags.ts';

export interface UrlPlace {
  /** Host in lower case, with its port unless it is the scheme's own; null: every host. */
  readonly authority: string | null;
  readonly path: string;
  readonly query: string;
}

/**
 * Null where the text is neither a path nor an absolute http(s) URL, or can't be normalised. Characters beyond ASCII are
 * encoded as UTF-8, those of a host as Punycode.
 */
export function parsePlace(text: string): UrlPlace | null {
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
 * The tags of exactly this URL. An entry bears the query as its own route keys it, so the purge is of the URL as each
 * of the routes' rules would have it.
 */
export function urlTags(place: UrlPlace, rules: readonly QueryKey[]): string[] {
  const { authority, path, query } = place;
  return [...new Set(rules.map((rule) => tagOfUrl(authority, path, keyedQuery(query, rule))))];
}

/**
 * Whether the path is meant as a pattern. A `*` within a segment is an ordinary character; at either end of one it is how
 * other caches write wildcards, and a purge of the literal path would find nothing and answer that it was done.
 */
export function hasWildcard(path: string): boolean {
  return path.split('/').some((segment) => segment.startsWith('*') || segment.endsWith('*'));
}

function placed(authority: string | null, target: string): UrlPlace | null {
  const normal = normalizeTarget(target.toWellFormed().replace(/[\u0080-\u{10ffff}]+/gu, encodeURIComponent));
  return normal === null ? null : { authority, ...normal };
}

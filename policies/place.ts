/** A URL as operators, feeds and origins name it: a path on every host, or absolute; and the tags that find it. */
import type { QueryKey } from './config/config.ts';
import { keyedQuery, normalizeTarget } from './key.ts';
import { tagOfUrl } from './tags.ts';

export interface Place {
  /** Host in lower case, with its port unless it is the scheme's own; null: every host. */
  readonly authority: string | null;
  readonly path: string;
  readonly query: string;
}

/**
 * Null where the text is neither a path nor an absolute http(s) URL, or can't be normalised. Characters beyond ASCII are
 * encoded as UTF-8; a host must be written in ASCII, as clients send it.
 */
export function parsePlace(text: string): Place | null {
  const absolute = /^(https?):\/\/([^/?#]+)([^#]*)/i.exec(text);
  if (absolute === null) return placed(null, text);
  const [, scheme, authority, rest] = absolute as unknown as [string, string, string, string];
  if (!/^[!-?A-~]+$/.test(authority)) return null;
  const ownPort = scheme.toLowerCase() === 'https' ? /:(?:443)?$/ : /:(?:80)?$/;
  return placed(authority.toLowerCase().replace(ownPort, ''), rest.startsWith('/') ? rest : `/${rest}`);
}

/**
 * The tags of exactly this URL. An entry bears the query as its own route keys it, so the purge is of the URL as each
 * of the routes' rules would have it.
 */
export function urlTags(place: Place, rules: readonly QueryKey[]): string[] {
  const { authority, path, query } = place;
  return [...new Set(rules.map((rule) => tagOfUrl(authority, path, keyedQuery(query, rule))))];
}

function placed(authority: string | null, target: string): Place | null {
  const normal = normalizeTarget(target.toWellFormed().replace(/[\u0080-\u{10ffff}]+/gu, encodeURIComponent));
  return normal === null ? null : { authority, ...normal };
}

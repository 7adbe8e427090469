/**
 * Maps an operator's purge to the tags of entries. The functions are pure. Errors are values, so that a purge of a name
 * that no entry can have does not report success.
 */
import type { Config } from '../../policies/config/config.ts';
import { normalAuthority, normalName } from '../../policies/names.ts';
import { ALL_TAG, tagOfHost, tagOfName, tagOfOrigin, tagOfPrefix, tagOfRoute } from '../../policies/tags.ts';
import { hasWildcard, parseUrlPlace } from '../../policies/url-place.ts';
import { tagsOfPlace } from '../../policies/url-tags.ts';

/** Every list may be empty; `all` selects every entry. */
export interface PurgeSelection {
  readonly urls: readonly string[];
  readonly tags: readonly string[];
  readonly prefixes: readonly string[];
  readonly hosts: readonly string[];
  readonly routes: readonly string[];
  readonly all: boolean;
}

export type PurgeTags =
  | {
      readonly kind: 'tags';
      readonly tags: readonly string[];
      /** The entries that are purged beyond the selection, with the reason. */
      readonly warnings: readonly string[];
    }
  /** Each problem is the place in the request, then `expected …, got …`. */
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

/** `config` is the configuration in force. */
export function purgeTags(selection: PurgeSelection, config: Config): PurgeTags {
  const problems: string[] = [];
  const collect = (key: string, texts: readonly string[], tagsOf: (text: string) => Tags): string[] =>
    texts.flatMap((text, i) => {
      const found = tagsOf(text);
      if ('tags' in found) return found.tags;
      problems.push(`${key}[${i}]: expected ${found.expected}, got ${JSON.stringify(text)}`);
      return [];
    });
  const tags = [
    ...collect('urls', selection.urls, (text) => urlNamed(text, config)),
    ...collect('tags', selection.tags, tagNamed),
    ...collect('prefixes', selection.prefixes, (text) => prefixNamed(text, config)),
    ...collect('hosts', selection.hosts, (text) => hostNamed(text, config)),
    ...collect('routes', selection.routes, (text) => routeNamed(text, config)),
    ...(selection.all ? [ALL_TAG] : []),
  ];
  if (problems.length > 0) return { kind: 'invalid', problems };
  if (tags.length === 0) return { kind: 'invalid', problems: [NOTHING] };
  return { kind: 'tags', tags: [...new Set(tags)], warnings: warningsOf(selection, config) };
}

type Tags = { readonly tags: readonly string[] } | { readonly expected: string };

const NOTHING = 'expected at least one of urls, tags, prefixes, hosts, routes or all, got nothing to purge';
const PLACE = 'a path that begins with / or an absolute http(s) URL';

function warningsOf({ hosts, all }: PurgeSelection, config: Config): string[] {
  const blind = blindOrigins(config);
  if (hosts.length === 0 || blind.length === 0 || all) return [];
  const known = [...new Set(config.routes.flatMap(({ match }) => (match.host === null ? [] : [match.host])))];
  const named = known.length === 0 ? '' : `; routes name the hosts ${known.join(', ')}`;
  const origins = blind.length === 1 ? `the origin ${blind[0]!}` : `the origins ${blind.join(', ')}`;
  return [
    `hosts: every entry of ${origins} is purged, because all hosts share them (host-header: origin)${named}`,
  ];
}

function urlNamed(text: string, config: Config): Tags {
  const place = parseUrlPlace(text);
  if (place === null) return { expected: PLACE };
  if (hasWildcard(place.path)) {
    return { expected: 'one URL without wildcards (prefixes purges everything below a path)' };
  }
  return { tags: tagsOfPlace(config, place) };
}

function prefixNamed(text: string, config: Config): Tags {
  const place = parseUrlPlace(text);
  if (place === null) return { expected: PLACE };
  if (text.includes('?')) return { expected: 'a path without a query' };
  if (place.path.endsWith('/*')) return { expected: 'whole segments without the final /*' };
  if (hasWildcard(place.path)) return { expected: 'whole segments without wildcards' };
  return { tags: [tagOfPrefix(blindOrigins(config).length > 0 ? null : place.authority, place.path)] };
}

function tagNamed(text: string): Tags {
  return text === '' ? { expected: 'a tag' } : { tags: [tagOfName(text)] };
}

/** Adds the origins that do not receive the client's host: all hosts share their entries. */
function hostNamed(text: string, config: Config): Tags {
  if (text.includes('*')) return { expected: 'one host without wildcards' };
  const host = normalAuthority(text);
  if (host === null) return { expected: 'a host, with or without a port' };
  // The host tags of entries omit the default port of the scheme.
  return { tags: [tagOfHost(host.replace(/:(?:80|443)$/, '')), ...blindOrigins(config).map(tagOfOrigin)] };
}

function routeNamed(text: string, { routes }: Config): Tags {
  const names = routes.map(({ name }) => name);
  return names.some((name) => normalName(name) === normalName(text))
    ? { tags: [tagOfRoute(text)] }
    : { expected: `one of ${names.join(', ')}` };
}

function blindOrigins({ origins }: Config): string[] {
  return Object.values(origins)
    .filter(({ hostHeader }) => hostHeader === 'origin')
    .map(({ name }) => name);
}

/**
 * What an operator's purge names, as the tags that entries bear. Pure, and errors are values: a purge of something that
 * no entry can bear must not answer that it was done.
 */
import type { QueryKey, RouteConfig } from '../../policies/config/config.ts';
import { parsePlace, urlTags, type Place } from '../../policies/place.ts';
import { compileRoutes } from '../../policies/routing.ts';
import { ALL_TAG, tagOfHost, tagOfName, tagOfPrefix, tagOfRoute } from '../../policies/tags.ts';

/** Every list may be empty; `all` stands for everything. */
export interface PurgeSelection {
  readonly urls: readonly string[];
  readonly tags: readonly string[];
  readonly prefixes: readonly string[];
  readonly hosts: readonly string[];
  readonly routes: readonly string[];
  readonly all: boolean;
}

export type PurgeTags =
  | { readonly kind: 'tags'; readonly tags: readonly string[] }
  /** Each `expected …, got …`, after the place in the request. */
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

/** `routes` are those in force: their names, and their rules for queries. */
export function purgeTags(selection: PurgeSelection, routes: readonly RouteConfig[]): PurgeTags {
  const problems: string[] = [];
  const collect = (key: string, texts: readonly string[], tagsOf: (text: string) => Tags): string[] =>
    texts.flatMap((text, i) => {
      const found = tagsOf(text);
      if ('tags' in found) return found.tags;
      problems.push(`${key}[${i}]: expected ${found.expected}, got ${JSON.stringify(text)}`);
      return [];
    });
  const rulesOf = queryRules(routes);
  const tags = [
    ...collect('urls', selection.urls, (text) => tagsOfUrl(text, rulesOf)),
    ...collect('tags', selection.tags, tagsOfName),
    ...collect('prefixes', selection.prefixes, tagsOfPrefix),
    ...collect('hosts', selection.hosts, tagsOfHost),
    ...collect('routes', selection.routes, (text) => tagsOfRoute(text, routes)),
    ...(selection.all ? [ALL_TAG] : []),
  ];
  if (problems.length > 0) return { kind: 'invalid', problems };
  if (tags.length === 0) return { kind: 'invalid', problems: [NOTHING] };
  return { kind: 'tags', tags: [...new Set(tags)] };
}

type Tags = { readonly tags: readonly string[] } | { readonly expected: string };

const NOTHING = 'expected at least one of urls, tags, prefixes, hosts, routes or all, got nothing to purge';
const PLACE = 'a path that begins with / or an absolute http(s) URL';

function tagsOfUrl(text: string, rulesOf: (place: Place) => QueryKey[]): Tags {
  const place = parsePlace(text);
  return place === null ? { expected: PLACE } : { tags: urlTags(place, rulesOf(place)) };
}

function tagsOfPrefix(text: string): Tags {
  const place = parsePlace(text);
  if (place === null) return { expected: PLACE };
  if (place.query !== '' || text.includes('?')) return { expected: 'a path without a query' };
  if (place.path.endsWith('/*')) return { expected: 'whole segments without the final /*' };
  return { tags: [tagOfPrefix(place.authority, place.path)] };
}

function tagsOfName(text: string): Tags {
  return text === '' ? { expected: 'a tag' } : { tags: [tagOfName(text)] };
}

function tagsOfHost(text: string): Tags {
  return HOST.test(text) ? { tags: [tagOfHost(text)] } : { expected: 'a host, with or without a port' };
}

function tagsOfRoute(text: string, routes: readonly RouteConfig[]): Tags {
  const names = routes.map(({ name }) => name);
  return names.includes(text) ? { tags: [tagOfRoute(text)] } : { expected: `one of ${names.join(', ')}` };
}

const HOST = /^(?:[^\s/?#@:[\]]+|\[[0-9a-f:.]+\])(?::\d+)?$/i;

/**
 * The rules by which an entry of this place may have its query in the key: the whole of it, and those of each route
 * that takes it, whichever of them came first.
 */
function queryRules(routes: readonly RouteConfig[]): (place: Place) => QueryKey[] {
  const compiled = routes.map((route) => ({
    rule: route.cache.key.query,
    onItsHost: compileRoutes([route]),
    onAnyHost: compileRoutes([{ ...route, match: { ...route.match, host: null } }]),
  }));
  return ({ authority, path }) => [
    'all',
    ...compiled
      .filter(({ onItsHost, onAnyHost }) => {
        const router = authority === null ? onAnyHost : onItsHost;
        // HEAD goes where GET goes.
        return router.match('HEAD', authority ?? '', path).kind === 'route';
      })
      .map(({ rule }) => rule),
  ];
}

/**
 * The names that entries bear and invalidations use. Every kind has a prefix of its own, so that no application's tag
 * can be taken for a URL or a route. What stands for a place has two forms, for one host (`url@HOST/p`) and for every
 * host (`url:/p`): an authority has no `/` and no path begins without, so the forms can't meet.
 *
 * Each is in the normal form of its name, whatever it was made of. Those of URLs are of the decoded URL: a change names a value, clients encode it in one way or another, and what differs in that
 * alone is invalidated together. The key still tells it apart.
 */

import { decodedEscapes, normalAuthority, normalName } from './names.ts';

/** Whole path segments for which an entry bears a prefix tag; longer prefixes are cut to it and reach further. */
export const PREFIX_SEGMENTS = 32;

export const ALL_TAG = 'all';
/** Every path of every host begins with it. */
const ROOT_PREFIX_TAG = 'prefix:/';

export interface TaggedPlace {
  /** Host in lower case with its port where one was given. */
  readonly authority: string;
  /** Normalised. */
  readonly path: string;
  /** As keyed, without `?`; empty: none. */
  readonly query: string;
}

/** All tags of an entry. `extra` are those of `tagOfName` and `tagOfGroup`; `feed` null where the route has none. */
export function entryTags(
  entry: TaggedPlace & {
    readonly route: string;
    readonly origin: string;
    readonly feed: string | null;
    readonly extra: readonly string[];
  },
): string[] {
  const { path, query } = entry;
  const authority = hostForm(entry.authority);
  const tags = new Set([
    ALL_TAG,
    tagOfRoute(entry.route),
    tagOfOrigin(entry.origin),
    tagOfHost(authority),
    tagOfHost(hostname(authority)),
    tagOfUrl(null, path, query),
    tagOfUrl(authority, path, query),
  ]);
  if (entry.feed !== null) tags.add(tagOfFeed(entry.feed));
  for (const prefix of prefixesOf(plain(path))) {
    tags.add(`prefix:${prefix}`).add(`prefix@${authority}${prefix}`);
  }
  for (const tag of entry.extra) tags.add(tag);
  return [...tags];
}

/** Exactly this URL, with its keyed query. `authority` null: on every host. */
export function tagOfUrl(authority: string | null, path: string, query: string): string {
  const asked = query === '' ? '' : `?${plain(query).replaceAll('+', ' ')}`;
  return `${place('url', authority)}${plain(path)}${asked}`;
}

/** Every URL whose path begins with these whole segments: `/a` takes `/a` and `/a/b`, not `/ab`. */
export function tagOfPrefix(authority: string | null, path: string): string {
  const prefixes = prefixesOf(plain(path));
  return `${place('prefix', authority)}${prefixes[prefixes.length - 1]!}`;
}

/** With a port: that port alone. Without: the host at every port. */
export function tagOfHost(authority: string): string {
  return `host:${hostForm(authority)}`;
}

export function tagOfRoute(route: string): string {
  return `route:${normalName(route)}`;
}

export function tagOfOrigin(origin: string): string {
  return `origin:${origin}`;
}

export function tagOfFeed(feed: string): string {
  return `feed:${feed}`;
}

/**
 * How much of what is stored may bear a tag. `everything`: each entry. `configured`: all of a route, an origin or a feed,
 * of which the configuration tells how many there are. `host`: all of one host. `part`: anything else, of which clients
 * choose as many names as they like.
 */
export type TagReach = 'everything' | 'configured' | 'host' | 'part';

/** By the name alone: what an entry bears and what an invalidation names must agree, whatever is configured by then. */
export function tagReach(tag: string): TagReach {
  if (tag === ALL_TAG || tag === ROOT_PREFIX_TAG) return 'everything';
  const kind = /^(?:route|origin|feed|host):|^prefix@[^/]*\/$/.exec(tag)?.[0];
  if (kind === undefined) return 'part';
  return kind === 'host:' || kind.startsWith('prefix@') ? 'host' : 'configured';
}

/** An application's own tag: from Surrogate-Key, Cache-Tag, xkey, a route's or feed's template, or a purge. */
export function tagOfName(name: string): string {
  return `${NAME_PREFIX}${normalName(name)}`;
}

/** A tag as operators know it: an application's own by its bare name. */
export function shownTag(tag: string): string {
  return tag.startsWith(NAME_PREFIX) ? tag.slice(NAME_PREFIX.length) : tag;
}

const NAME_PREFIX = 'tag:';

/** RFC 9875: groups are those of one site, as `groupSite` has it. */
export function tagOfGroup(site: string, group: string): string {
  return `group@${hostForm(site)}/${normalName(group)}`;
}

/** Whose groups they are: the host's, or an origin's that does not see it, for then all hosts share its entries. */
export function groupSite(
  origin: { readonly name: string; readonly hostHeader: 'origin' | 'client' },
  authority: string,
): string {
  return origin.hostHeader === 'client' ? authority : origin.name;
}

function plain(text: string): string {
  return normalName(decodedEscapes(text));
}

function hostForm(authority: string): string {
  return normalAuthority(authority) ?? authority.toLowerCase();
}

function place(kind: 'url' | 'prefix', authority: string | null): string {
  return authority === null ? `${kind}:` : `${kind}@${hostForm(authority)}`;
}

function prefixesOf(path: string): string[] {
  const prefixes = ['/'];
  for (let slash = path.indexOf('/', 1); slash > 0; slash = path.indexOf('/', slash + 1)) {
    if (prefixes.length > PREFIX_SEGMENTS) return prefixes;
    prefixes.push(path.slice(0, slash));
  }
  if (prefixes.length <= PREFIX_SEGMENTS && path.length > 1 && !path.endsWith('/')) prefixes.push(path);
  return prefixes;
}

function hostname(authority: string): string {
  return authority.replace(/:\d*$/, '');
}

/**
 * The tags that entries have and invalidations name. Each kind has its own prefix, so that an application's tag can't
 * be mistaken for a URL or a route. Tags of URLs and prefixes have two forms, one for a single host (`url@HOST/p`)
 * and one for every host (`url:/p`). The forms can't collide, because an authority has no `/` and every path begins
 * with one.
 *
 * Names are in normal form. Tags of URLs are made of the decoded URL, because a change names a value and clients
 * encode it in different ways. URLs that differ only in encoding are invalidated together, although the key
 * distinguishes them.
 */

import { decodedEscapes, normalAuthority, normalName } from './names.ts';

/**
 * The number of whole path segments for which an entry has prefix tags. A longer prefix is cut to this length and so
 * reaches more entries.
 */
export const PREFIX_SEGMENTS = 32;

export const ALL_TAG = 'all';
/** The prefix of every path on every host. */
const ROOT_PREFIX_TAG = 'prefix:/';

export interface TaggedPlace {
  /** Host in lower case, with its port if one was given. */
  readonly authority: string;
  /** The normalised path. */
  readonly path: string;
  /** The query as in the key, without `?`; empty: none. */
  readonly query: string;
}

export interface TaggedEntry extends TaggedPlace {
  readonly route: string;
  readonly origin: string;
  /** The route's feed; null: it has none. */
  readonly feed: string | null;
  /** Tags from `tagOfName` and `tagOfGroup`. */
  readonly extra: readonly string[];
}

/** All tags of an entry. */
export function entryTags(entry: TaggedEntry): string[] {
  const place = normalPlace(entry);
  return [...directoryTags(entry, place), ...ownTags(entry, place)];
}

/** A place in the form that tags have. */
export interface NormalPlace {
  readonly authority: string;
  readonly path: string;
  /** The path up to and including its last slash. */
  readonly directory: string;
}

export function normalPlace(entry: TaggedPlace): NormalPlace {
  const path = plain(entry.path);
  const directory = path.slice(0, path.lastIndexOf('/') + 1);
  return { authority: hostForm(entry.authority), path, directory };
}

/** The tags that an entry shares with all entries of its route, authority and directory. */
export function directoryTags(
  { route, origin, feed }: TaggedEntry,
  { authority, directory }: NormalPlace,
): string[] {
  const host = hostname(authority);
  const tags = [ALL_TAG, tagOfRoute(route), tagOfOrigin(origin), `host:${authority}`];
  if (host !== authority) tags.push(`host:${host}`);
  if (feed !== null) tags.push(tagOfFeed(feed));
  // A path that begins with two slashes has the root twice.
  for (const prefix of new Set(prefixesOf(directory))) {
    tags.push(`prefix:${prefix}`, `prefix@${authority}${prefix}`);
  }
  return tags;
}

/** The other tags of the entry. */
export function ownTags(
  { query, extra }: TaggedEntry,
  { authority, path, directory }: NormalPlace,
): string[] {
  const url = path + queryForm(query);
  const tags = [`url:${url}`, `url@${authority}${url}`];
  if (path !== directory && slashesIn(directory) <= PREFIX_SEGMENTS) {
    tags.push(`prefix:${path}`, `prefix@${authority}${path}`);
  }
  for (const tag of extra) if (!tags.includes(tag)) tags.push(tag);
  return tags;
}

/** The tag of exactly this URL with its keyed query. `authority` null: on every host. */
export function tagOfUrl(authority: string | null, path: string, query: string): string {
  return `${place('url', authority)}${plain(path)}${queryForm(query)}`;
}

/** The tag of every URL whose path begins with these whole segments: `/a` covers `/a` and `/a/b`, not `/ab`. */
export function tagOfPrefix(authority: string | null, path: string): string {
  const prefixes = prefixesOf(plain(path));
  return `${place('prefix', authority)}${prefixes[prefixes.length - 1]!}`;
}

/** The tag of a host. With a port it covers only that port, without one every port. */
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
 * The number of entries that may have a tag. `everything`: every entry. `configured`: all of a route, an origin or a feed,
 * whose number the configuration limits. `host`: all of one host. `part`: anything else; clients can create any
 * number of such names.
 */
export type TagReach = 'everything' | 'configured' | 'host' | 'part';

/** The reach follows from the name alone, because entries and invalidations must agree under any configuration. */
export function tagReach(tag: string): TagReach {
  if (tag === ALL_TAG || tag === ROOT_PREFIX_TAG) return 'everything';
  const kind = /^(?:route|origin|feed|host):|^prefix@[^/]*\/$/.exec(tag)?.[0];
  if (kind === undefined) return 'part';
  return kind === 'host:' || kind.startsWith('prefix@') ? 'host' : 'configured';
}

/** An application's own tag: from Surrogate-Key, Cache-Tag, xkey, a template of a route or feed, or a purge. */
export function tagOfName(name: string): string {
  return `${NAME_PREFIX}${normalName(name)}`;
}

/** A tag as operators write it: an application's own tag is shown by its bare name. */
export function shownTag(tag: string): string {
  return tag.startsWith(NAME_PREFIX) ? tag.slice(NAME_PREFIX.length) : tag;
}

const NAME_PREFIX = 'tag:';

/** RFC 9875: a group belongs to one site, from `groupSite`. */
export function tagOfGroup(site: string, group: string): string {
  return `group@${hostForm(site)}/${normalName(group)}`;
}

/**
 * RFC 9875: the site of a group: the host, or the origin if it does not see the host, because then all hosts share
 * its entries.
 */
export function groupSite(
  origin: { readonly name: string; readonly hostHeader: 'origin' | 'client' },
  authority: string,
): string {
  return origin.hostHeader === 'client' ? authority : origin.name;
}

function plain(text: string): string {
  return normalName(decodedEscapes(text));
}

function queryForm(query: string): string {
  return query === '' ? '' : `?${plain(query).replaceAll('+', ' ')}`;
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

/** The number of prefixes of a directory, unless they are too many. */
function slashesIn(directory: string): number {
  let slashes = 0;
  for (let at = directory.indexOf('/'); at >= 0; at = directory.indexOf('/', at + 1)) slashes += 1;
  return slashes;
}

function hostname(authority: string): string {
  return authority.replace(/:\d*$/, '');
}

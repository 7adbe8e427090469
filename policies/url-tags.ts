import type { Config } from './config/config.ts';
import { parseUrlPlace, urlTags, type UrlPlace } from './url-place.ts';
import { tagOfPrefix } from './tags.ts';

/**
 * The tags by which an invalidation reaches a URL under a configuration, independent of the routes' keys. Where an
 * origin does not see the client's host, entries and invalidations are shared by all hosts.
 */
export function tagsOfPlace(config: Config, place: UrlPlace): string[] {
  const rules = config.routes.map((route) => route.cache.key.query);
  return urlTags(seesHosts(config) ? place : { ...place, authority: null }, ['all', ...rules]);
}

/** `tagsOfPlace` for the text of a path or an absolute URL; null: it is neither. */
export function tagsOfUrl(config: Config, url: string): string[] | null {
  const place = parseUrlPlace(url);
  return place === null ? null : tagsOfPlace(config, place);
}

/**
 * The tags of everything below a path or an absolute URL, given as text with or without a final `/*`; null: it is
 * neither.
 */
export function tagsOfPrefix(config: Config, prefix: string): string[] | null {
  const place = parseUrlPlace(prefix.replace(/(.)\/\*$/, '$1').replace(/^\/\*$/, '/'));
  return place === null ? null : [tagOfPrefix(seesHosts(config) ? place.authority : null, place.path)];
}

function seesHosts({ origins }: Config): boolean {
  return Object.values(origins).every(({ hostHeader }) => hostHeader === 'client');
}

import type { Config } from './config/config.ts';
import { parsePlace, urlTags, type UrlPlace } from './place.ts';
import { tagOfPrefix } from './tags.ts';

/**
 * The tags by which an invalidation reaches a URL under a configuration, whatever the routes' keys leave out. Where an
 * origin does not see the client's host, entries are shared by all hosts, and so are their invalidations.
 */
export function tagsOfPlace(config: Config, place: UrlPlace): string[] {
  const rules = config.routes.map((route) => route.cache.key.query);
  return urlTags(seesHosts(config) ? place : { ...place, authority: null }, ['all', ...rules]);
}

/** The same for a path or an absolute URL as text; null: it is neither. */
export function tagsOfUrl(config: Config, url: string): string[] | null {
  const place = parsePlace(url);
  return place === null ? null : tagsOfPlace(config, place);
}

/** The tag of everything below a path or an absolute URL as text, with or without a final `/*`; null: it is neither. */
export function tagsOfPrefix(config: Config, prefix: string): string[] | null {
  const place = parsePlace(prefix.replace(/(.)\/\*$/, '$1').replace(/^\/\*$/, '/'));
  return place === null ? null : [tagOfPrefix(seesHosts(config) ? place.authority : null, place.path)];
}

function seesHosts({ origins }: Config): boolean {
  return Object.values(origins).every(({ hostHeader }) => hostHeader === 'client');
}

import type { Config } from '../../policies/config/config.ts';
import { parsePlace, urlTags, type Place } from '../../policies/place.ts';

/**
 * The tags by which an invalidation reaches a URL under a configuration, whatever the routes' keys leave out. Where an
 * origin does not see the client's host, entries are shared by all hosts, and so are their invalidations.
 */
export function tagsOfPlace(config: Config, place: Place): string[] {
  const byHost = Object.values(config.origins).every(({ hostHeader }) => hostHeader === 'client');
  const rules = config.routes.map((route) => route.cache.key.query);
  return urlTags(byHost ? place : { ...place, authority: null }, ['all', ...rules]);
}

/** The same for a path or an absolute URL as text; null: it is neither. */
export function tagsOfUrl(config: Config, url: string): string[] | null {
  const place = parsePlace(url);
  return place === null ? null : tagsOfPlace(config, place);
}

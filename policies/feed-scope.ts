import type { FeedConfig, RouteCacheConfig } from './config/config.ts';
import { tagOfFeed, tagOfOrigin } from './tags.ts';

/**
 * The tags that stand for everything a feed may change: entries of the routes that name it, and of every origin that its
 * map can reach. Any origin's response may bear a tag that a map names, and a path names no origin: so a map that names
 * anything reaches them all.
 */
export function feedScope(feed: FeedConfig, origins: readonly string[]): string[] {
  return [tagOfFeed(feed.name), ...(reachesAll(feed) ? origins.map(tagOfOrigin) : [])];
}

/**
 * How long after an invalidation the origin may still show the old state to a route, where its answers do not say how
 * current they are: that they say of the route's own feed alone. Which feed a tag was invalidated by is not kept, so the
 * longest read lag counts of those that can reach the route's entries.
 */
export function readLagMsOf(
  feeds: readonly FeedConfig[],
  { feed: own, versionHeader }: Pick<RouteCacheConfig, 'feed' | 'versionHeader'>,
): number {
  const reaching = feeds.filter((feed) => (feed.name === own ? versionHeader === null : reachesAll(feed)));
  return Math.max(0, ...reaching.map(({ readLagMs }) => readLagMs));
}

function reachesAll({ map }: FeedConfig): boolean {
  return map.some(
    ({ invalidate }) => invalidate.tags.length + invalidate.urls.length + invalidate.prefixes.length > 0,
  );
}

import type { FeedConfig, RouteCacheConfig } from './config/config.ts';
import { tagOfFeed, tagOfOrigin } from './tags.ts';

/**
 * The tags that cover everything a feed may change: entries of the routes that name it, and of every origin that its
 * map can reach. A map that invalidates anything reaches all origins, because any origin's response may have a tag
 * that the map names, and a path names no origin.
 */
export function feedScope(feed: FeedConfig, origins: readonly string[]): string[] {
  return [tagOfFeed(feed.name), ...(reachesAll(feed) ? origins.map(tagOfOrigin) : [])];
}

/**
 * The time in milliseconds after an invalidation during which the origin may respond to a route with the old state. It
 * is the longest read lag of the feeds that can reach the route's entries, because the fence does not record which feed
 * invalidated a tag. The route's own feed is excluded if the route's responses attest how current they are.
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

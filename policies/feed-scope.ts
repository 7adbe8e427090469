import type { FeedConfig } from './config/config.ts';
import { tagOfFeed, tagOfOrigin } from './tags.ts';

/**
 * The tags that stand for everything a feed may change: entries of the routes that name it, and of every origin that its
 * map can reach. Any origin's response may bear a tag that a map names, and a path names no origin: so a map that names
 * anything reaches them all.
 */
export function feedScope(feed: FeedConfig, origins: readonly string[]): string[] {
  const isReaching = feed.map.some(
    ({ invalidate }) => invalidate.tags.length + invalidate.urls.length + invalidate.prefixes.length > 0,
  );
  return [tagOfFeed(feed.name), ...(isReaching ? origins.map(tagOfOrigin) : [])];
}

import type { Feed, FeedDeps, FeedFailure } from '../../origin-adapters/feeds/feed.ts';
import { readFeed, testFeedDeps } from '../contracts/feed-reader.ts';

/** Opens the feed and waits until it has failed. */
export async function failureOf(feed: Feed, after: string | null = null): Promise<FeedFailure> {
  const reader = readFeed(feed, after);
  await reader.ended;
  const last = reader.events.at(-1);
  if (last?.kind !== 'failed') throw new Error(`it ended with ${last?.kind}`);
  return last.failure;
}

/** Dependencies of a process in which that package is not installed. */
export const depsWithoutLibraries: FeedDeps = {
  ...testFeedDeps,
  loadLibrary: async (name) => ({
    kind: 'failed',
    failure: { kind: 'library', retry: 'never', message: `npm install ${name}`, cause: null },
  }),
};

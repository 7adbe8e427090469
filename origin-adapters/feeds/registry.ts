import type { FeedAdapter } from './feed.ts';
import { kafkaFeed } from './kafka.ts';
import { natsFeed } from './nats.ts';
import { postgresFeed } from './postgres.ts';
import { redisStreamFeed } from './redis-stream.ts';
import { sseFeed } from './sse.ts';
import { webhookFeed } from './webhook.ts';

/** Every type of feed. A new one needs its own files and an entry here: the configuration takes its keys from the entry. */
const FEEDS: readonly FeedAdapter[] = [
  sseFeed,
  webhookFeed,
  redisStreamFeed,
  natsFeed,
  kafkaFeed,
  postgresFeed,
];

/** The types of feeds by the value of `type` in the configuration. */
export const FEED_TYPES: Readonly<Record<string, FeedAdapter>> = Object.fromEntries(
  FEEDS.map((feed) => [feed.type, feed]),
);

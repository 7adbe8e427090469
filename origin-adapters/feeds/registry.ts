import type { FeedConfig } from '../../policies/config/config.ts';
import type { NotYet } from '../../policies/config/load.ts';
import type { FeedSchemas } from '../../policies/config/schema.ts';
import type { FeedAdapter } from './feed.ts';
import { kafkaFeed } from './kafka.ts';
import { natsFeed } from './nats.ts';
import { postgresFeed } from './postgres.ts';
import { redisStreamFeed } from './redis-stream.ts';
import { sseFeed } from './sse.ts';
import { webhookFeed } from './webhook.ts';

/** The composition root's lists: which feeds there are, and which parts of the configuration are not available yet. */

export const FEED_ADAPTERS: Readonly<Record<FeedConfig['type'], FeedAdapter>> = {
  sse: sseFeed,
  webhook: webhookFeed,
  'redis-stream': redisStreamFeed,
  nats: natsFeed,
  kafka: kafkaFeed,
  postgres: postgresFeed,
};

export const FEED_SCHEMAS: FeedSchemas = Object.fromEntries(
  Object.values(FEED_ADAPTERS).map(({ type, schema }) => [type, schema]),
);

export const NOT_YET: readonly NotYet[] = [];

import { afterEach, describe, expect, it } from 'vitest';
import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import { contractMaxSilenceMs, describeFeed, idsOf, type FeedService } from '../contracts/feed-contract.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { requireProgram } from '../support/programs.ts';
import { RedisServer } from '../support/redis-server.ts';

const program = requireProgram('redis-server');
const path = program.kind === 'found' ? program.path : '';

describeFeed('redis-stream', {
  adapter: redisStreamFeed,
  skip: program.kind === 'found' ? null : program.reason,
  start,
});

async function start(): Promise<FeedService> {
  const server = await RedisServer.start(path);
  await server.run(...emptyStream);
  return {
    feed: () => feedOf({ url: server.url }),
    publish: async (transactions) => {
      await server.run(...transactions.map((rows) => ['XADD', 'changes', '*', 'data', JSON.stringify(rows)]));
    },
    trim: async () => {
      await server.run(['XTRIM', 'changes', 'MAXLEN', '0']);
    },
    recreate: async () => {
      await server.run(['DEL', 'changes'], ...emptyStream);
    },
    restart: () => server.restart(),
    cut: async () => {
      await server.run(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    },
    blackhole: async () => server.pause(),
    resume: async () => server.resume(),
    stop: () => server.stop(),
  };
}

/** A stream that never had an entry. */
const emptyStream = [
  ['XGROUP', 'CREATE', 'changes', 'group', '$', 'MKSTREAM'],
  ['XGROUP', 'DESTROY', 'changes', 'group'],
];

function feedOf(options: Readonly<Record<string, unknown>>, format: 'json' | 'cloudevents' = 'json'): Feed {
  return redisStreamFeed.create(
    {
      name: 'feed',
      type: 'redis-stream',
      format,
      maxSilenceMs: contractMaxSilenceMs,
      readLagMs: 0,
      map: [],
      options: redisStreamFeed.schema.parse({ stream: 'changes', ...options }),
    },
    testFeedDeps,
  );
}

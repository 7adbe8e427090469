import { sseFeed } from '../../origin-adapters/feeds/sse.ts';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { contractMaxSilenceMs, describeFeed, type FeedService } from './feed-contract.ts';
import { testFeedDeps } from './feed-reader.ts';

describeFeed('sse', {
  adapter: sseFeed,
  skip: null,
  start,
  cannot: {
    restore: 'the origin makes the ids, so it has to send reset; the other tests of gaps cover that',
  },
});

async function start(): Promise<FeedService> {
  const server = new EventStreamServer(contractMaxSilenceMs / 6);
  await server.start();
  return {
    feed: () =>
      sseFeed.create(
        {
          name: 'feed',
          type: 'sse',
          format: 'json',
          maxSilenceMs: contractMaxSilenceMs,
          readLagMs: 0,
          versionField: null,
          map: [],
          options: { url: server.url, replay: true },
        },
        testFeedDeps,
      ),
    publish: async (transactions) => {
      for (const rows of transactions) {
        server.publish(() =>
          JSON.stringify(rows.map((row) => ({ table: 'rows', op: 'insert', after: row }))),
        );
      }
    },
    trim: async () => server.trim(),
    recreate: async () => server.recreate(),
    restart: async () => {
      await server.stop();
      await server.start();
    },
    cut: async () => server.cut(),
    blackhole: async () => server.silence(),
    resume: async () => server.speak(),
    stop: () => server.stop(),
  };
}

import type { Feed } from '../../origin-adapters/feeds/feed.ts';
import { webhookFeed } from '../../origin-adapters/feeds/webhook.ts';
import { signedDelivery, webhookSecret } from '../feeds/deliveries.ts';
import { contractMaxSilenceMs, describeFeed, type FeedService } from './feed-contract.ts';
import { testFeedDeps } from './feed-reader.ts';

const noConnection = 'there is no connection: the sender connects to Weir';

describeFeed('webhook', {
  adapter: webhookFeed,
  skip: null,
  start,
  cannot: {
    resume: 'messages are not sent again after their delivery',
    trim: noConnection,
    recreate: noConnection,
    restore: noConnection,
    restart: noConnection,
    cut: noConnection,
    blackhole: noConnection,
    flood: 'senders wait for their responses, and get 503 beyond a limit',
  },
});

async function start(): Promise<FeedService> {
  let latest: Feed | null = null;
  return {
    feed: () => {
      latest = webhookFeed.create(
        {
          name: 'feed',
          type: 'webhook',
          format: 'json',
          maxSilenceMs: contractMaxSilenceMs,
          readLagMs: 0,
          versionField: null,
          map: [],
          options: {
            path: '/webhook',
            secret: webhookSecret,
            tolerance: 300_000,
            'max-body': 2 ** 20,
            heartbeats: false,
          },
        },
        testFeedDeps,
      );
      return latest;
    },
    publish: async (transactions) => {
      for (const rows of transactions) {
        void latest?.receiver!.receive(signedDelivery(rows.map((row) => ({ table: 'rows', after: row }))));
      }
    },
    stop: async () => undefined,
  };
}

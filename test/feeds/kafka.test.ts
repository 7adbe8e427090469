import { kafkaFeed } from '../../origin-adapters/feeds/kafka.ts';
import { KafkaMock, kafkaMockSkip } from '../support/kafka-mock.ts';
import { contractMaxSilenceMs, describeFeed, type FeedService } from '../contracts/feed-contract.ts';
import { testFeedDeps } from '../contracts/feed-reader.ts';

const TOPIC = 'rows';

describeFeed('kafka', {
  adapter: kafkaFeed,
  skip: kafkaMockSkip(),
  start,
  cannot: { flood: 'the mock keeps 5 MB of a partition; feeds/kafka.test.ts floods several' },
});

async function start(): Promise<FeedService> {
  const mock = await KafkaMock.start();
  await mock.create(TOPIC, 3);
  return {
    feed: () =>
      kafkaFeed.create(
        {
          name: 'feed',
          type: 'kafka',
          format: 'json',
          maxSilenceMs: contractMaxSilenceMs,
          readLagMs: 0,
          map: [],
          options: kafkaFeed.schema.parse({ brokers: mock.brokers, topics: TOPIC }),
        },
        testFeedDeps,
      ),
    // One partition, for only there is an order.
    publish: (transactions) =>
      mock.produce(
        TOPIC,
        0,
        ...transactions.map((rows) => [
          { value: JSON.stringify(rows.map((row) => ({ table: 'rows', op: 'insert', after: row }))) },
        ]),
      ),
    trim: () => mock.forget(TOPIC, 0),
    recreate: async () => {
      await mock.replace();
      await mock.create(TOPIC, 3);
    },
    restart: async () => {
      await mock.down();
      await mock.up();
    },
    cut: () => mock.cut(),
    blackhole: async () => mock.pause(),
    resume: async () => mock.resume(),
    stop: () => mock.stop(),
  };
}

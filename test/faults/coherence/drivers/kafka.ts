import { setTimeout as delay } from 'node:timers/promises';
import { kafkaFeed } from '../../../../origin-adapters/feeds/kafka.ts';
import { KafkaMock } from '../../../support/kafka-mock.ts';
import type { Driver, Target } from '../driver.ts';
import { untilDone } from './retrying.ts';

const TOPIC = 'changes';
const PARTITIONS = 3;

/** Each key has its partition. The mock returns no offsets to producers, so changes have no position. */
export async function kafkaDriver(_target: Target): Promise<Driver> {
  const mock = await KafkaMock.start();
  await mock.create(TOPIC, PARTITIONS);
  return {
    name: 'kafka',
    feed: {
      yaml: `type: kafka, brokers: "${mock.brokers[0]}", topics: ${TOPIC}`,
      adapter: kafkaFeed,
      pushDelayMs: 0,
    },
    async publish(keys) {
      const value = JSON.stringify(keys.map((key) => ({ key })));
      await untilDone(() => mock.produce(TOPIC, keys[0]! % PARTITIONS, [{ value }]));
      return { position: null, isInForce: false };
    },
    faults: [
      {
        name: 'restarted',
        async happen(random) {
          await mock.down();
          await delay(random.between(0, 1_500));
          await mock.up();
        },
      },
      { name: 'cut', happen: () => mock.cut() },
      {
        name: 'black hole',
        async happen(random) {
          mock.pause();
          await delay(random.between(500, 3_500));
          mock.resume();
        },
      },
      {
        name: 'delayed while busy',
        async happen(random) {
          await mock.delay(random.between(300, 900));
          await delay(3_000);
          await mock.delay(0);
        },
      },
      { name: 'trimmed', happen: (random) => untilDone(() => mock.forget(TOPIC, random.below(PARTITIONS))) },
      {
        name: 'recreated',
        async happen() {
          await mock.replace();
          // A producer may have created the topic already.
          await mock.create(TOPIC, PARTITIONS).catch((error: unknown) => {
            if (!(error instanceof Error && error.message.includes('already exists'))) throw error;
          });
        },
      },
    ],
    stop: () => mock.stop(),
  };
}

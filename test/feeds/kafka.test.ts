import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createServer as createTlsServer } from 'node:tls';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Feed, FeedDeps, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { kafkaFeed } from '../../origin-adapters/feeds/kafka.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import { loadLibrary } from '../../proxy/feeds/deps.ts';
import {
  changesOf,
  contractMaxSilenceMs,
  describeFeed,
  headsOf,
  idsOf,
  type FeedService,
  type PublishedRow,
} from '../contracts/feed-contract.ts';
import { FeedFollower } from '../contracts/feed-follower.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { settle } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { KafkaGatekeeper } from '../support/kafka-gatekeeper.ts';
import { KafkaMock, kafkaMockSkip, type KafkaMessage } from '../support/kafka-mock.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';

const TOPIC = 'rows';
const skip = kafkaMockSkip();

describeFeed('kafka', {
  adapter: kafkaFeed,
  skip,
  start,
  cannot: {
    flood: 'the mock keeps 5 MB of a partition; the flood below is of several',
  },
});

async function start(): Promise<FeedService> {
  const mock = await KafkaMock.start(1, { hasSameId: true });
  await mock.create(TOPIC, 3);
  // The mock keeps messages only in memory: a restore publishes again what was there at the copy.
  const published: KafkaMessage[][] = [];
  let copied: KafkaMessage[][] = [];
  // One partition, because there is no order across partitions.
  const publish = (transactions: readonly (readonly PublishedRow[])[]): Promise<void> => {
    const batches = transactions.map((rows) => [
      {
        value: JSON.stringify(rows.map((row) => ({ table: 'rows', op: 'insert', after: row }))),
        timestamp: Date.now(),
      },
    ]);
    published.push(...batches);
    return mock.produce(TOPIC, 0, ...batches);
  };
  return {
    feed: () => feedOf({ brokers: mock.brokers }),
    publish,
    copy: async () => {
      copied = [...published];
    },
    restore: async (transactions) => {
      await mock.replace();
      await mock.create(TOPIC, 3);
      await mock.produce(TOPIC, 0, ...copied);
      await publish(transactions);
    },
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

function feedOf(
  options: Readonly<Record<string, unknown>>,
  format: FeedConfig['format'] = 'json',
  deps: FeedDeps = testFeedDeps,
): Feed {
  const config: FeedConfig = {
    name: 'feed',
    type: 'kafka',
    format,
    maxSilenceMs: contractMaxSilenceMs,
    readLagMs: 0,
    versionField: null,
    map: [],
    options: kafkaFeed.schema.parse({ topics: TOPIC, ...options }),
  };
  return kafkaFeed.create(config, deps);
}

let ending: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of ending.toReversed()) await one.stop();
  ending = [];
});

function ended<T extends { stop(): Promise<void> }>(one: T): T {
  ending.push(one);
  return one;
}

function read(feed: Feed, after: string | null = null): FeedReader {
  return ended(readFeed(feed, after));
}

async function mockOf(partitions: number, brokers = 1): Promise<KafkaMock> {
  const mock = ended(await KafkaMock.start(brokers));
  await mock.create(TOPIC, partitions);
  return mock;
}

const attached = (events: readonly FeedEvent[]): boolean => events.some(({ kind }) => kind === 'gap');
const hasFailed = (events: readonly FeedEvent[]): boolean => events.at(-1)?.kind === 'failed';

describe.skipIf(skip !== null)('messages of Kafka', () => {
  async function events(format: FeedConfig['format'], ...messages: readonly KafkaMessage[]) {
    const mock = await mockOf(1);
    const reader = read(feedOf({ brokers: mock.brokers }, format));
    await reader.until(attached);
    await mock.produce(TOPIC, 0, messages);
    const place = `:${messages.length}`;
    const all = await reader.until((seen) => headsOf(seen).some(({ position }) => position?.includes(place)));
    return all.filter(({ kind }) => kind === 'change' || kind === 'unintelligible');
  }

  it('have their topic, key and time', async () => {
    const before = Date.now();
    const [event] = await events('json', { key: 'p1', value: '{"id":1}' });
    expect(event).toMatchObject({
      changes: [{ message: [{ id: 1 }, { kafka: { topic: TOPIC, key: 'p1' } }] }],
    });
    expect(changesOf([event!])[0]!.committedAtMs).toBeGreaterThanOrEqual(before);
  });

  it('are CloudEvents in binary mode by their ce_ headers, whose values are not percent-encoded', async () => {
    const headers = {
      ce_specversion: '1.0',
      ce_id: '1',
      ce_source: '/shop',
      ce_type: 'changed',
      ce_subject: '100%25',
      'content-type': 'application/json',
    };
    const [event] = await events('cloudevents', { value: '{"id":7}', headers });
    expect(event).toMatchObject({
      changes: [{ message: [{ type: 'changed', subject: '100%25' }, { id: 7 }, {}] }],
    });
  });

  it('show by their key which old values Debezium knows', async () => {
    const value = JSON.stringify({
      op: 'u',
      before: null,
      after: { id: 3, group: 'b' },
      source: { table: 'rows' },
    });
    const [change, tombstone] = await events(
      'debezium',
      { key: '{"id":3}', value },
      { key: '{"id":3}', value: null },
    );
    expect(change).toMatchObject({ changes: [{ before: { id: 3 }, known: 'key-of-before' }] });
    expect(tombstone).toMatchObject({ kind: 'change', changes: [] });
  });

  it('are unintelligible in order where they are not of the format', async () => {
    const all = await events(
      'json',
      { value: '{"id":1}' },
      { value: 'x' },
      { value: null },
      { value: '{"id":2}' },
    );
    expect(all.map(({ kind }) => kind)).toEqual(['change', 'unintelligible', 'unintelligible', 'change']);
  });
});

describe.skipIf(skip !== null)('partitions of Kafka', () => {
  it('are all read, of every topic, and the position holds them all', async () => {
    const mock = await mockOf(3);
    await mock.create('orders', 2);
    const reader = read(feedOf({ brokers: mock.brokers, topics: [TOPIC, 'orders'] }));
    await reader.until(attached);
    for (const partition of [0, 1, 2])
      await mock.produce(TOPIC, partition, [{ value: `{"id":"r${partition}"}` }]);
    for (const partition of [0, 1])
      await mock.produce('orders', partition, [{ value: `{"id":"o${partition}"}` }]);
    const all = await reader.until((seen) => idsOf(seen).length >= 5 && seen.at(-1)!.kind === 'head');
    expect(idsOf(all).toSorted()).toEqual(['o0', 'o1', 'r0', 'r1', 'r2']);
    expect(kafkaFeed.showPosition(headsOf(all).at(-1)!.position!)).toBe('rows:1.1.1/orders:1.1');
  });

  it('are read from several brokers, and after a change of leader without loss and without a gap', async () => {
    const mock = await mockOf(2, 2);
    await mock.command(`leader ${TOPIC} 0 1`);
    await mock.command(`leader ${TOPIC} 1 2`);
    const feed = feedOf({ brokers: mock.brokers[1] });
    const follower = ended(new FeedFollower(kafkaFeed, feed, null, contractMaxSilenceMs));
    await follower.until(({ state }) => state === 'live');
    await mock.produce(TOPIC, 0, [{ value: '{"id":"a"}' }]);
    await mock.produce(TOPIC, 1, [{ value: '{"id":"b"}' }]);
    await follower.until(({ rows }) => rows.includes('a') && rows.includes('b'));
    await mock.command(`leader ${TOPIC} 0 2`);
    await mock.produce(TOPIC, 0, [{ value: '{"id":"c"}' }]);
    await follower.until(({ rows, state }) => rows.includes('c') && state === 'live');
    expect(follower.gaps).toBe(1);
  });

  it('are found by another broker when the first one accepts connections and does not respond', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const mock = await mockOf(1);
    const brokers = [`127.0.0.1:${(silent.address() as AddressInfo).port}`, ...mock.brokers];
    const follower = ended(new FeedFollower(kafkaFeed, feedOf({ brokers }), null, contractMaxSilenceMs));
    await follower.until(({ state }) => state === 'live');
    silent.close();
  });

  it('stay upstream in a flood while their reader waits, and none is lost', async () => {
    const partitions = 16;
    const mock = await mockOf(partitions);
    const reader = read(feedOf({ brokers: mock.brokers }));
    await reader.until(attached);
    reader.pause();
    const before = await heldBytes();
    const text = 'x'.repeat(64 * 1024);
    const ids = Array.from({ length: partitions * 64 }, (_, i) => String(i));
    for (let partition = 0; partition < partitions; partition++) {
      const own = ids.filter((id) => Number(id) % partitions === partition);
      await mock.produce(TOPIC, partition, ...own.map((id) => [{ value: JSON.stringify({ id, text }) }]));
    }
    await settle(2_000);
    await expect.poll(async () => (await heldBytes()) - before).toBeLessThan((ids.length * text.length) / 2);
    reader.resume();
    const all = idsOf(await reader.until((seen) => idsOf(seen).length >= ids.length));
    expect(all.toSorted()).toEqual(ids.toSorted());
    const third = all.filter((id) => Number(id) % partitions === 3).map(Number);
    expect(third).toEqual(third.toSorted((a, b) => a - b));
  });

  it('are read whole where a message is larger than the read-ahead', async () => {
    const mock = await mockOf(2);
    const reader = read(feedOf({ brokers: mock.brokers, 'max-bytes': '64KiB' }));
    await reader.until(attached);
    const text = 'x'.repeat(900_000);
    for (const id of ['1', '2', '3', '4']) {
      await mock.produce(TOPIC, Number(id) % 2, [{ value: JSON.stringify({ id, text }) }]);
    }
    const all = await reader.until((seen) => idsOf(seen).length >= 4);
    expect(idsOf(all).toSorted()).toEqual(['1', '2', '3', '4']);
  });
});

/** The producers' buffers are freed only by the second collection. */
async function heldBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  await settle();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe.skipIf(skip !== null)('a feed of Kafka fails', () => {
  async function failureWith(mock: KafkaMock, command: string) {
    await mock.command(command);
    return failureOf(feedOf({ brokers: mock.brokers }));
  }

  it('where a topic is missing, is not permitted, or has no leader', async () => {
    const mock = await mockOf(2);
    expect(await failureWith(mock, `topic-error ${TOPIC} 3`)).toMatchObject({
      kind: 'missing',
      retry: 'slowly',
      message: 'there is no topic rows',
    });
    expect(await failureWith(mock, `topic-error ${TOPIC} 29`)).toMatchObject({
      kind: 'refused',
      retry: 'slowly',
    });
    await mock.command(`topic-error ${TOPIC} 0`);
    expect(await failureWith(mock, `leader ${TOPIC} 1 -1`)).toMatchObject({
      kind: 'unreachable',
      retry: 'soon',
      message: 'rows/1 has no leader',
    });
  });

  it('where the broker does not use TLS', async () => {
    const mock = await mockOf(1);
    const failure = await failureOf(feedOf({ brokers: mock.brokers, tls: true }));
    expect(failure.message).toContain(`can't reach ${mock.brokers[0]}`);
  });
});

async function failureOf(feed: Feed) {
  const last = (await read(feed).until(hasFailed)).at(-1)!;
  if (last.kind !== 'failed') throw new Error(last.kind);
  return last.failure;
}

describe('a feed of Kafka fails', () => {
  it('where no broker listens', async () => {
    const broker = `127.0.0.1:${await freePort()}`;
    const failure = await failureOf(feedOf({ brokers: broker }));
    expect(failure).toMatchObject({ kind: 'unreachable', retry: 'soon' });
    expect(failure.message).toContain(`can't reach ${broker}: connect ECONNREFUSED`);
  });

  it('where credentials are refused, without showing them', async () => {
    const gatekeeper = ended(await KafkaGatekeeper.start(58));
    const sasl = { mechanism: 'PLAIN', username: 'weir', password: 'secret' };
    const failure = await failureOf(feedOf({ brokers: gatekeeper.broker, sasl }));
    expect(failure).toMatchObject({
      kind: 'refused',
      retry: 'slowly',
      message: 'the broker refuses the credentials: correct sasl',
    });
    expect(gatekeeper.credentials).toEqual(['\0weir\0secret']);
  });

  it('where the mechanism is unknown', async () => {
    const gatekeeper = ended(await KafkaGatekeeper.start(33));
    const sasl = { mechanism: 'PLAIN', username: 'weir', password: 'secret' };
    expect(await failureOf(feedOf({ brokers: gatekeeper.broker, sasl }))).toMatchObject({
      kind: 'refused',
      message: 'the broker does not know this mechanism: correct sasl.mechanism',
    });
  });

  it('where the certificate is not trusted or is for another name', async () => {
    const server = createTlsServer({ key: tlsKey, cert: tlsCertificate });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const broker = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await failureOf(feedOf({ brokers: broker, tls: true }))).toMatchObject({
      kind: 'refused',
      retry: 'slowly',
    });
    const tls = { ca: tlsCertificate, 'server-name': 'other.example' };
    expect(await failureOf(feedOf({ brokers: broker, tls }))).toMatchObject({ kind: 'refused' });
    server.on('secureConnection', (socket) => socket.destroy());
    const trusted = { ca: tlsCertificate, 'server-name': tlsName };
    expect(await failureOf(feedOf({ brokers: broker, tls: trusted }))).toMatchObject({ kind: 'unreachable' });
    server.close();
  });

  it("where a file of tls can't be read", async () => {
    const failure = await failureOf(feedOf({ brokers: 'kafka:9092', tls: { ca: '/nowhere/ca.pem' } }));
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('/nowhere/ca.pem');
  });

  it('where the client library is missing, and names the package', async () => {
    const missing: FeedDeps = {
      ...testFeedDeps,
      loadLibrary: (name) =>
        loadLibrary(name, () =>
          Promise.reject(Object.assign(new Error('no'), { code: 'ERR_MODULE_NOT_FOUND' })),
        ),
    };
    expect(await failureOf(feedOf({ brokers: 'kafka:9092' }, 'json', missing))).toMatchObject({
      kind: 'library',
      retry: 'never',
      message: 'this feed needs the package @platformatic/kafka: npm install @platformatic/kafka',
    });
  });
});

describe('the options of a feed of Kafka', () => {
  const accepts = (options: unknown): boolean => kafkaFeed.schema.safeParse(options).success;

  it('name brokers and topics, one or several', () => {
    expect(accepts({ brokers: 'kafka:9092', topics: 'rows' })).toBe(true);
    expect(accepts({ brokers: ['kafka', '[::1]:9092'], topics: ['shop.public.rows', 'orders'] })).toBe(true);
    for (const brokers of ['', 'http://kafka:9092', 'a:1,b:2', 'a:65536', []])
      expect(accepts({ brokers, topics: 'rows' })).toBe(false);
    for (const topics of ['', 'a b', 'a/b', []]) expect(accepts({ brokers: 'kafka', topics })).toBe(false);
  });

  it('are strict, also about credentials and certificates', () => {
    const least = { brokers: 'kafka', topics: 'rows' };
    expect(accepts({ ...least, group: 'weir' })).toBe(false);
    expect(accepts({ ...least, sasl: { mechanism: 'PLAIN', username: 'u' } })).toBe(false);
    expect(accepts({ ...least, sasl: { mechanism: 'GSSAPI', username: 'u', password: 'p' } })).toBe(false);
    expect(accepts({ ...least, tls: { ca: 'ca.pem' } })).toBe(false);
    expect(accepts({ ...least, tls: { ca: '/etc/ca.pem', 'server-name': 'kafka' } })).toBe(true);
  });
});

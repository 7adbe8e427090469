import type { ClusterTopicMetadata, Connection, Consumer, ConsumerOptions } from '@platformatic/kafka';
import type { ObservedPartition, ObservedTopic } from './beginning.ts';
import { isKafkaError, KafkaProblem } from './failure.ts';

/** FETCH and LIST_OFFSETS: only what is committed, so that a message is not taken for true before its transaction is. */
const READ_COMMITTED = 1;
const EARLIEST = -2n;
const LATEST = -1n;
/** ListOffsets requests at a time. */
const CONCURRENCY = 8;
/** Of one partition in one answer; a larger batch comes all the same. */
const PARTITION_BYTES = 2 ** 20;
const NO_ID = '00000000-0000-0000-0000-000000000000';

type FetchResponse = Awaited<ReturnType<Consumer['fetch']>>;
export type PartitionAnswer = FetchResponse['responses'][number]['partitions'][number];

export interface KafkaTopic {
  readonly name: string;
  /** What requests call it: its id, or its name where the cluster gives none. */
  readonly id: string;
  /** Tells it from a topic of the same name that was deleted or is in another cluster; percent-encoded. */
  readonly identity: string;
  readonly leaders: readonly Leader[];
}

export interface Leader {
  readonly node: number;
  /** −1: the cluster does not say. */
  readonly epoch: number;
}

/** A partition and the place in it that is asked for. */
export interface WantedTopics {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly next: bigint;
  /** The leader epoch of the record before: lets the broker see that its log is not the one we read. */
  readonly epoch: number;
}

export type FetchAnswer =
  | { readonly kind: 'fetched'; readonly partitions: readonly FetchedPartition[] }
  /** These places are not in their logs. Nothing else of the answer is used. */
  | { readonly kind: 'out-of-range'; readonly partitions: readonly FetchedPartition[] }
  /** The broker forgot what we had asked before; the next request says it all again. */
  | { readonly kind: 'session-lost' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** Partitions of which there is nothing new may be absent from an answer (KIP-227). */
export interface FetchedPartition {
  readonly topicId: string;
  readonly data: PartitionAnswer;
}

/**
 * What this feed asks of a Kafka cluster: no consumer group, and no retries, which are the runner's. One instance for one
 * opening of the feed; after an error other than of `fetch` it is closed.
 */
export class KafkaClient {
  readonly #consumer: Consumer;
  readonly #connections = new Set<Connection>();
  readonly #maxBytes: number;

  constructor(library: { readonly Consumer: typeof Consumer }, options: ClientOptions) {
    this.#maxBytes = options.maxBytes;
    this.#consumer = new library.Consumer({
      clientId: 'weir',
      // Required, and never joined.
      groupId: 'weir',
      bootstrapBrokers: [...options.brokers],
      retries: 0,
      autocreateTopics: false,
      connectTimeout: options.connectTimeoutMs,
      requestTimeout: options.answerTimeoutMs,
      // It is asked for by force with each proof of being at the head.
      metadataMaxAge: 3_600_000,
      ...options.security,
    });
    this.#consumer.connections.on('connecting', ({ connection }: { connection: Connection }) => {
      this.#connections.add(connection);
      // The pool listens for the first error alone, and an error event that nobody hears ends the process.
      connection.on('error', () => this.#connections.delete(connection));
      connection.on('close', () => this.#connections.delete(connection));
    });
  }

  /** The topics as the cluster knows them now; rejects when one is missing or has a partition without a leader. */
  async topics(names: readonly string[]): Promise<KafkaTopic[]> {
    const metadata = await this.#consumer.metadata({ topics: [...names], forceUpdate: true });
    for (const name of names) this.#consumer.topics.track(name);
    return names.map((name) => topicOf(name, metadata.topics.get(name), metadata.id));
  }

  /** What their partitions hold. */
  async observe(topics: readonly KafkaTopic[]): Promise<ObservedTopic[]> {
    const asked = topics.flatMap(({ name, leaders }) => leaders.map((_, partition) => ({ name, partition })));
    const found: ObservedPartition[] = [];
    for (let from = 0; from < asked.length; from += CONCURRENCY) {
      const some = asked.slice(from, from + CONCURRENCY);
      found.push(...(await Promise.all(some.map(({ name, partition }) => this.#observe(name, partition)))));
    }
    let next = 0;
    return topics.map(({ name, identity, leaders }) => {
      next += leaders.length;
      return { name, identity, partitions: found.slice(next - leaders.length, next) };
    });
  }

  /** The offset behind the last committed record. */
  end(topic: string, partition: number): Promise<bigint> {
    return this.#offset(topic, partition, LATEST);
  }

  /** Waits up to `waitMs` for something new. Never rejects. */
  async fetch(node: number, wanted: readonly WantedTopics[], waitMs: number): Promise<FetchAnswer> {
    try {
      const response = await this.#consumer.fetch({
        node,
        topics: byTopic(wanted),
        minBytes: 1,
        maxBytes: this.#maxBytes,
        maxWaitTime: waitMs,
        isolationLevel: READ_COMMITTED,
      });
      return { kind: 'fetched', partitions: partitionsOf(response) };
    } catch (error) {
      return answerOf(error);
    }
  }

  /** Ends everything at once, whatever is under way. */
  close(): void {
    const sockets = [...this.#connections].map((connection) => connection.socket);
    // What it waits for is the sockets' end, and that comes now.
    this.#consumer.close(true).catch(() => undefined);
    for (const socket of sockets) socket?.destroy();
  }

  async #observe(topic: string, partition: number): Promise<ObservedPartition> {
    const earliest = await this.#offset(topic, partition, EARLIEST);
    return { earliest, end: await this.#offset(topic, partition, LATEST) };
  }

  /** One partition a request: some brokers' answers to more are not what the client reads. */
  async #offset(topic: string, partition: number, timestamp: bigint): Promise<bigint> {
    const offsets = await this.#consumer.listOffsets({
      topics: [topic],
      partitions: { [topic]: [partition] },
      timestamp,
      isolationLevel: READ_COMMITTED,
    });
    const offset = offsets.get(topic)?.[partition];
    if (offset === undefined || offset < 0n) {
      throw new KafkaProblem('unreachable', 'soon', `the broker knows no offset of ${topic}/${partition}`);
    }
    return offset;
  }
}

export interface ClientOptions {
  readonly brokers: readonly string[];
  readonly security: Pick<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>, 'tls' | 'tlsServerName' | 'sasl'>;
  /** Of one answer. */
  readonly maxBytes: number;
  /** For one broker. */
  readonly connectTimeoutMs: number;
  readonly answerTimeoutMs: number;
}

function topicOf(name: string, topic: ClusterTopicMetadata | undefined, cluster: string | null): KafkaTopic {
  if (topic === undefined || topic.partitionsCount === 0) {
    throw new KafkaProblem('missing', 'slowly', `there is no topic ${name}`);
  }
  // Metadata v9 knows no ids, and the client takes them for such; before, it puts names in their place.
  if (topic.id === NO_ID)
    throw new KafkaProblem('protocol', 'slowly', 'brokers before Kafka 2.8: upgrade them');
  const leaders = topic.partitions.map(({ leader, leaderEpoch }) => ({
    node: leader,
    epoch: leaderEpoch ?? -1,
  }));
  const orphan = leaders.findIndex(({ node }) => node < 0);
  if (orphan !== -1) throw new KafkaProblem('unreachable', 'soon', `${name}/${orphan} has no leader`);
  return {
    name,
    id: topic.id,
    identity: encodeURIComponent(topic.id === name ? (cluster ?? '') : topic.id),
    leaders,
  };
}

function byTopic(wanted: readonly WantedTopics[]): Parameters<Consumer['fetch']>[0]['topics'] {
  const topics = Map.groupBy(wanted, ({ topicId }) => topicId);
  return [...topics].map(([topicId, partitions]) => ({
    topicId,
    partitions: partitions.map(({ partition, leaderEpoch, next, epoch }) => ({
      partition,
      currentLeaderEpoch: leaderEpoch,
      fetchOffset: next,
      lastFetchedEpoch: epoch,
      partitionMaxBytes: PARTITION_BYTES,
    })),
  }));
}

function partitionsOf(response: FetchResponse): FetchedPartition[] {
  return response.responses.flatMap(({ topicId, partitions }) =>
    partitions.map((data) => ({ topicId, data })),
  );
}

function answerOf(error: unknown): FetchAnswer {
  const partitions = responseOf(error);
  const outOfRange = partitions.filter(({ data }) => data.errorCode === OFFSET_OUT_OF_RANGE);
  if (outOfRange.length > 0) return { kind: 'out-of-range', partitions: outOfRange };
  return isKafkaError(error, 'FETCH_SESSION_ID_NOT_FOUND', 'INVALID_FETCH_SESSION_EPOCH')
    ? { kind: 'session-lost' }
    : { kind: 'failed', error };
}

const OFFSET_OUT_OF_RANGE = 1;

/** The answer that the error is about, where there was one. */
function responseOf(error: unknown): FetchedPartition[] {
  if (error instanceof AggregateError && 'response' in error && error.response !== undefined) {
    return partitionsOf(error.response as FetchResponse);
  }
  return error instanceof AggregateError ? error.errors.flatMap(responseOf) : [];
}

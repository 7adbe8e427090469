import type { ClusterTopicMetadata, Connection, Consumer, ConsumerOptions } from '@platformatic/kafka';
import type { ObservedPartition, ObservedTopic } from './beginning.ts';
import { isKafkaError, KafkaProblem } from './failure.ts';

/** Isolation level of FETCH and LIST_OFFSETS: committed records only, because a transaction may still be aborted. */
const READ_COMMITTED = 1;
const EARLIEST = -2n;
const LATEST = -1n;
/** Concurrent ListOffsets requests. */
const CONCURRENCY = 8;
/** Maximum bytes of one partition in one response; a larger batch is still returned alone. */
const PARTITION_BYTES = 2 ** 20;
const NO_ID = '00000000-0000-0000-0000-000000000000';

type FetchResponse = Awaited<ReturnType<Consumer['fetch']>>;
export type PartitionAnswer = FetchResponse['responses'][number]['partitions'][number];

export interface KafkaTopic {
  readonly name: string;
  /** The topic in requests: its id, or its name if the cluster has no ids. */
  readonly id: string;
  /** Distinguishes it from a deleted topic of the same name or one in another cluster; percent-encoded. */
  readonly identity: string;
  readonly leaders: readonly Leader[];
}

export interface Leader {
  readonly node: number;
  /** −1: unknown. */
  readonly epoch: number;
}

/** Partitions with the offsets to read. */
export interface WantedTopics {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly next: bigint;
  /** The leader epoch of the previous record, by which the broker detects that its log is another one. */
  readonly epoch: number;
}

export type FetchAnswer =
  | { readonly kind: 'fetched'; readonly partitions: readonly FetchedPartition[] }
  /** These offsets are not in their logs. The rest of the response is not used. */
  | { readonly kind: 'out-of-range'; readonly partitions: readonly FetchedPartition[] }
  /** The broker lost the fetch session; the next request lists all partitions again. */
  | { readonly kind: 'session-lost' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** KIP-227: partitions without news may be missing in a response. */
export interface FetchedPartition {
  readonly topicId: string;
  readonly data: PartitionAnswer;
}

/**
 * The requests of this feed to a Kafka cluster, without a consumer group and without retries, which are up to the
 * runner. One instance for one opening of the feed. After any error except of `fetch` it is closed.
 */
export class KafkaClient {
  readonly #consumer: Consumer;
  readonly #connections = new Set<Connection>();
  readonly #maxBytes: number;

  constructor(library: { readonly Consumer: typeof Consumer }, options: ClientOptions) {
    this.#maxBytes = options.maxBytes;
    this.#consumer = new library.Consumer({
      clientId: 'weir',
      // Required by the client; the group is never joined.
      groupId: 'weir',
      bootstrapBrokers: [...options.brokers],
      retries: 0,
      autocreateTopics: false,
      connectTimeout: options.connectTimeoutMs,
      requestTimeout: options.answerTimeoutMs,
      // Metadata is requested explicitly with each proof of the head.
      metadataMaxAge: 3_600_000,
      ...options.security,
    });
    this.#consumer.connections.on('connecting', ({ connection }: { connection: Connection }) => {
      this.#connections.add(connection);
      // The pool handles only the first error. An unhandled error event would end the process.
      connection.on('error', () => this.#connections.delete(connection));
      connection.on('close', () => this.#connections.delete(connection));
    });
  }

  /** The topics' present state; rejects if one is missing or has a partition without a leader. */
  async topics(names: readonly string[]): Promise<KafkaTopic[]> {
    const metadata = await this.#consumer.metadata({ topics: [...names], forceUpdate: true });
    for (const name of names) this.#consumer.topics.track(name);
    return names.map((name) => topicOf(name, metadata.topics.get(name), metadata.id));
  }

  /** The bounds of the topics' partitions. */
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

  /** The offset after the last committed record. */
  end(topic: string, partition: number): Promise<bigint> {
    return this.#offset(topic, partition, LATEST);
  }

  /** Waits up to `waitMs` for new records. Never rejects. */
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

  /** Closes everything at once, with whatever is in progress. */
  close(): void {
    const sockets = [...this.#connections].map((connection) => connection.socket);
    // It waits for the sockets to end, which happens below.
    this.#consumer.close(true).catch(() => undefined);
    for (const socket of sockets) socket?.destroy();
  }

  async #observe(topic: string, partition: number): Promise<ObservedPartition> {
    const earliest = await this.#offset(topic, partition, EARLIEST);
    return { earliest, end: await this.#offset(topic, partition, LATEST) };
  }

  /** One partition a request, because some brokers respond to several in a form that the client can't read. */
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
  /** The maximum bytes of one response. */
  readonly maxBytes: number;
  /** The time to connect to one broker. */
  readonly connectTimeoutMs: number;
  readonly answerTimeoutMs: number;
}

function topicOf(name: string, topic: ClusterTopicMetadata | undefined, cluster: string | null): KafkaTopic {
  if (topic === undefined || topic.partitionsCount === 0) {
    throw new KafkaProblem('missing', 'slowly', `there is no topic ${name}`);
  }
  // Metadata v9 has no ids, but the client reads them as zeros; earlier versions put names in their place.
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

/** The response that the error concerns, if there is one. */
function responseOf(error: unknown): FetchedPartition[] {
  if (error instanceof AggregateError && 'response' in error && error.response !== undefined) {
    return partitionsOf(error.response as FetchResponse);
  }
  return error instanceof AggregateError ? error.errors.flatMap(responseOf) : [];
}

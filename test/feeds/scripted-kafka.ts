import type { FeedDeps } from '../../origin-adapters/feeds/feed.ts';
import type { PartitionAnswer, WantedTopics } from '../../origin-adapters/feeds/kafka/client.ts';
import { testFeedDeps } from '../contracts/feed-reader.ts';

export interface ScriptedPartition {
  leader: number;
  epoch: number;
  earliest: bigint;
  /** The end of readable records. */
  end: bigint;
  highWatermark: bigint;
}

type Batch = NonNullable<PartitionAnswer['records']>[number];

/** The response to a fetch: an error, or for each partition the differences from "nothing new". */
export type ScriptedAnswer = Error | Readonly<Record<number, Partial<PartitionAnswer>>>;

/**
 * The client library as far as the feed uses it, with one topic `rows` that the test describes, for responses
 * that no mock gives. A fetch without a scripted answer finds nothing new; it is answered one turn of the
 * event loop later.
 */
export class ScriptedKafka {
  id = 'first-id';
  partitions: ScriptedPartition[];
  readonly answers: ScriptedAnswer[] = [];
  readonly fetches: WantedTopics[][] = [];
  readonly fetchOptions: { readonly maxWaitTime: number; readonly isolationLevel: number }[] = [];
  /** KIP-227: partitions without news are left out, as in a fetch session. */
  isIncremental = false;

  constructor(...ends: readonly bigint[]) {
    this.partitions = ends.map((end) => ({ leader: 1, epoch: 0, earliest: 0n, end, highWatermark: end }));
  }

  get deps(): FeedDeps {
    const consumer = this.#consumer();
    return {
      ...testFeedDeps,
      loadLibrary: async <T>() => ({
        kind: 'loaded',
        library: {
          // The class is only ever called with `new`.
          Consumer: function Consumer() {
            return consumer;
          },
        } as T,
      }),
    };
  }

  #consumer(): object {
    return {
      connections: { on: () => undefined },
      topics: { track: () => true },
      metadata: async () => ({ id: 'cluster', topics: new Map([['rows', this.#metadata()]]) }),
      listOffsets: async (asked: { partitions: { rows: number[] }; timestamp: bigint }) => {
        const index = asked.partitions.rows[0]!;
        const { earliest, end } = this.partitions[index]!;
        const offsets: bigint[] = [];
        offsets[index] = asked.timestamp === -2n ? earliest : end;
        return new Map([['rows', offsets]]);
      },
      fetch: async (asked: FetchOptions) => {
        this.fetchOptions.push(asked);
        return this.#fetch(asked.topics);
      },
      close: async () => undefined,
    };
  }

  #metadata(): object {
    const partitions = this.partitions.map(({ leader, epoch }) => ({ leader, leaderEpoch: epoch }));
    return { id: this.id, partitions, partitionsCount: partitions.length };
  }

  async #fetch(topics: readonly FetchedTopic[]): Promise<object> {
    const asked = topics.flatMap(({ topicId, partitions }) =>
      partitions.map((partition) => wantedOf(topicId, partition)),
    );
    this.fetches.push(asked);
    await new Promise((resolve) => setImmediate(resolve));
    const answer = this.answers.shift() ?? {};
    if (answer instanceof Error) throw answer;
    const partitions = asked
      .filter(
        ({ partition }) =>
          !this.isIncremental || answer[partition] !== undefined || this.fetches.length === 1,
      )
      .map(({ partition }) => this.#answer(partition, answer[partition] ?? {}));
    return { responses: [{ topicId: this.id, partitions }] };
  }

  #answer(index: number, differing: Partial<PartitionAnswer>): object {
    const { earliest, end, highWatermark } = this.partitions[index]!;
    return {
      partitionIndex: index,
      errorCode: 0,
      highWatermark,
      lastStableOffset: end,
      logStartOffset: earliest,
      abortedTransactions: null,
      preferredReadReplica: -1,
      records: null,
      ...differing,
    };
  }
}

interface FetchOptions {
  readonly topics: readonly FetchedTopic[];
  readonly maxWaitTime: number;
  readonly isolationLevel: number;
}

interface FetchedTopic {
  readonly topicId: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly currentLeaderEpoch: number;
    readonly fetchOffset: bigint;
    readonly lastFetchedEpoch: number;
  }[];
}

function wantedOf(topicId: string, asked: FetchedTopic['partitions'][number]): WantedTopics {
  return {
    topicId,
    partition: asked.partition,
    leaderEpoch: asked.currentLeaderEpoch,
    next: asked.fetchOffset,
    epoch: asked.lastFetchedEpoch,
  };
}

/** The client's error for a response with an error of Kafka. */
export function kafkaError(apiId: string, partitions: readonly Partial<PartitionAnswer>[] = []): Error {
  const inner = Object.assign(new Error(apiId), { apiId });
  const response = { responses: [{ topicId: 'first-id', partitions }] };
  return Object.assign(new AggregateError([inner], 'Received response with error'), { response });
}

/** A batch of one record for each id, from `firstOffset` on. */
export function batchOf(firstOffset: bigint, ids: readonly string[], differing: Partial<Batch> = {}): Batch {
  return {
    firstOffset,
    length: 0,
    partitionLeaderEpoch: 7,
    magic: 2,
    crc: 0,
    attributes: 0,
    lastOffsetDelta: ids.length - 1,
    firstTimestamp: 1_000n,
    maxTimestamp: 2_000n,
    producerId: -1n,
    producerEpoch: -1,
    firstSequence: -1,
    records: ids.map((id, offsetDelta) => ({
      length: 0,
      attributes: 0,
      timestampDelta: BigInt(offsetDelta),
      offsetDelta,
      key: null,
      value: Buffer.from(JSON.stringify({ id })),
      headers: [],
    })) as unknown as Batch['records'],
    ...differing,
  };
}

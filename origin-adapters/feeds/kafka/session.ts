import type { FeedConfig } from '../../../policies/config/config.ts';
import { formats } from '../../formats/formats.ts';
import { headIntervalMs, type FeedDeps, type FeedEvent } from '../feed.ts';
import { decideBeginning } from './beginning.ts';
import type { FetchAnswer, FetchedPartition, KafkaClient } from './client.ts';
import { failed, failureOf, KafkaProblem } from './failure.ts';
import type { KafkaOptions } from './options.ts';
import { parsePosition } from './position.ts';
import { HeadProof, KafkaReading, type PartitionReading } from './reading.ts';
import {
  decideSameLog,
  endOf,
  hasHole,
  isControl,
  markAt,
  markOf,
  MESSAGE_FORMAT,
  recordEvent,
} from './records.ts';

/** The longest time that a broker waits for new records before it responds. */
const MAX_WAIT_MS = 500;
/** The limit on consecutive responses that say that the broker lost the fetch session. */
const MAX_LOST_SESSIONS = 3;

/** A fetch, and when it was sent. */
interface SentFetch {
  readonly node: number;
  readonly sentAtMs: number;
  readonly answer: FetchAnswer;
}

/** Reads all partitions on one opening of the feed. */
export class KafkaSession {
  readonly #deps: FeedDeps;
  readonly #client: KafkaClient;
  readonly #signal: AbortSignal;
  readonly #format;
  readonly #topics: readonly string[];
  readonly #headIntervalMs: number;
  readonly #pending = new Map<number, Promise<SentFetch>>();
  #proof: HeadProof | null = null;
  #nextProofAtMs = -Infinity;
  #reportedBehind = 0;
  #lostSessions = 0;

  constructor(
    config: FeedConfig,
    options: KafkaOptions,
    deps: FeedDeps,
    client: KafkaClient,
    signal: AbortSignal,
  ) {
    this.#deps = deps;
    this.#client = client;
    this.#signal = signal;
    this.#format = formats[config.format];
    this.#topics = [...new Set([options.topics].flat())];
    this.#headIntervalMs = headIntervalMs(config.maxSilenceMs);
  }

  async *from(after: string | null): AsyncGenerator<FeedEvent> {
    const topics = await this.#unlessAborted(this.#client.topics(this.#topics));
    const observed = await this.#unlessAborted(this.#client.observe(topics));
    const position = after === null ? null : parsePosition(after);
    const beginning = decideBeginning(position, observed);
    const reading = new KafkaReading(topics, beginning.position, beginning.unmarked);
    if (beginning.gap !== null) yield { kind: 'gap', reason: beginning.gap, position: reading.position() };
    yield* this.#follow(reading);
  }

  async *#follow(reading: KafkaReading): AsyncGenerator<FeedEvent> {
    for (;;) {
      if (this.#signal.aborted) return;
      const difference = await this.#beginProof(reading);
      if (difference !== null) {
        yield { kind: 'failed', failure: failed('unreachable', 'soon', difference) };
        return;
      }
      for (const node of reading.nodes) this.#fetch(node, reading);
      const fetched = await this.#unlessAborted(Promise.race(this.#pending.values()));
      this.#pending.delete(fetched.node);
      if (fetched.answer.kind === 'failed') {
        yield { kind: 'failed', failure: failureOf(fetched.answer.error) };
        return;
      }
      yield* this.#take(fetched, reading);
      yield* this.#dueEvents(reading);
    }
  }

  /** If a proof is due, requests the cluster's state. Returns why reading can't continue; null: it can. */
  async #beginProof(reading: KafkaReading): Promise<string | null> {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#proof !== null || nowMs < this.#nextProofAtMs) return null;
    this.#proof = new HeadProof(nowMs);
    const topics = await this.#unlessAborted(this.#client.topics(this.#topics));
    return reading.differenceTo(topics);
  }

  #fetch(node: number, reading: KafkaReading): void {
    if (this.#pending.has(node)) return;
    const isAwaited = this.#proof !== null && !this.#proof.knows(reading.of(node));
    const waitMs = isAwaited ? 0 : Math.max(1, Math.floor(Math.min(MAX_WAIT_MS, this.#headIntervalMs / 4)));
    const sentAtMs = this.#deps.clock.monotonicMs();
    const fetching = this.#client.fetch(node, reading.wanted(node), waitMs);
    this.#pending.set(
      node,
      fetching.then((answer) => ({ node, sentAtMs, answer })),
    );
  }

  async *#take(fetched: SentFetch, reading: KafkaReading): AsyncGenerator<FeedEvent> {
    const { answer } = fetched;
    switch (answer.kind) {
      case 'fetched':
        this.#lostSessions = 0;
        yield* this.#takePartitions(answer.partitions, reading);
        this.#proof?.note(reading.of(fetched.node), fetched.sentAtMs);
        return;
      case 'out-of-range':
        for (const { topicId, data } of answer.partitions) {
          const partition = reading.find(topicId, data.partitionIndex);
          if (partition !== null) yield* this.#restart(partition, 'is out of range', reading);
        }
        return;
      case 'session-lost':
        this.#lostSessions += 1;
        if (this.#lostSessions > MAX_LOST_SESSIONS) {
          throw new KafkaProblem('unreachable', 'soon', 'the broker keeps losing the fetch session');
        }
        return;
      case 'failed':
        throw answer.error;
      default:
        answer satisfies never;
    }
  }

  async *#takePartitions(
    answered: readonly FetchedPartition[],
    reading: KafkaReading,
  ): AsyncGenerator<FeedEvent> {
    for (const { topicId, data } of answered) {
      const partition = reading.find(topicId, data.partitionIndex);
      if (partition === null) continue;
      // The high watermark of a follower may be outdated.
      if ((data.preferredReadReplica ?? -1) >= 0) {
        throw new KafkaProblem('protocol', 'slowly', 'the broker sends readers to a follower');
      }
      if ((data.divergingEpoch?.endOffset ?? -1n) >= 0n) {
        yield* this.#restart(partition, 'was truncated and rewritten', reading);
        continue;
      }
      if (data.highWatermark >= 0n) partition.highWatermark = data.highWatermark;
      const verdict = partition.expected === null ? 'same' : decideSameLog(partition.expected, data);
      if (verdict === 'other') {
        yield* this.#restart(partition, 'no longer holds the last message read: was it restored?', reading);
        continue;
      }
      if (verdict === 'unknown') continue;
      partition.expected = null;
      if (partition.wantsMark) {
        partition.wantsMark = false;
        partition.mark = markAt(partition.next - 1n, data) ?? undefined;
      }
      yield* this.#records(partition, data, reading);
    }
  }

  *#records(
    partition: PartitionReading,
    data: FetchedPartition['data'],
    reading: KafkaReading,
  ): Generator<FeedEvent> {
    const where = `${partition.topic.name}/${partition.index}`;
    if (data.records?.some(({ magic }) => magic !== MESSAGE_FORMAT)) {
      throw new KafkaProblem('protocol', 'slowly', `${where} holds messages of a format before Kafka 0.11`);
    }
    if (hasHole(data, partition.next)) {
      const reason = `${where} lacks messages behind ${partition.next}: is it compacted?`;
      yield { kind: 'gap', reason, position: null };
    }
    // Batches are complete, also those that begin before the requested offset.
    for (const batch of data.records ?? []) {
      for (const record of isControl(batch) ? [] : batch.records) {
        const offset = batch.firstOffset + BigInt(record.offsetDelta);
        if (offset < partition.next) continue;
        if (this.#signal.aborted) return;
        partition.advance(offset + 1n, batch.partitionLeaderEpoch, markOf(batch, record));
        yield recordEvent(this.#format, partition.topic.name, batch, record, reading.position());
      }
      partition.advance(endOf(batch), batch.partitionLeaderEpoch);
    }
  }

  /**
   * The log has other records than those that were read. The gap invalidates everything up to the end, where reading
   * continues. A proof in progress has other ends.
   */
  async *#restart(
    partition: PartitionReading,
    problem: string,
    reading: KafkaReading,
  ): AsyncGenerator<FeedEvent> {
    const { topic, index, next } = partition;
    this.#proof = null;
    partition.restart(await this.#unlessAborted(this.#client.end(topic.name, index)));
    yield {
      kind: 'gap',
      reason: `${topic.name}/${index} ${problem} at ${next}`,
      position: reading.position(),
    };
  }

  /** The events that are due after a response was processed. */
  *#dueEvents(reading: KafkaReading): Generator<FeedEvent> {
    const behind = reading.behind();
    if (behind !== this.#reportedBehind) yield { kind: 'behind', events: behind };
    this.#reportedBehind = behind;
    const proof = this.#proof;
    if (proof === null || !proof.isComplete(reading.partitions)) return;
    this.#proof = null;
    this.#nextProofAtMs = proof.askedAtMs + this.#headIntervalMs;
    yield { kind: 'head', position: reading.position(), askedAtMonotonicMs: proof.askedAtMs };
  }

  /** Rejects at once when the feed is aborted. The awaited request ends with the client. */
  async #unlessAborted<T>(promise: Promise<T>): Promise<T> {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(this.#signal.reason);
    if (this.#signal.aborted) onAbort();
    else this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([promise, aborted]);
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
    }
  }
}

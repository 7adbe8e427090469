import type { FeedConfig } from '../../policies/config/config.ts';
import { defineFeed, type Feed, type FeedDeps, type FeedEvent } from './feed.ts';
import { KafkaClient } from './kafka/client.ts';
import { failureOf } from './kafka/failure.ts';
import { kafkaSchema, type KafkaOptions } from './kafka/options.ts';
import { comparePositions, showPosition } from './kafka/position.ts';
import { readSecurity } from './kafka/security.ts';
import { KafkaSession } from './kafka/session.ts';

/** The longest time for a connection and a response, which leaves time to ask another broker. */
const MAX_CONNECT_MS = 5_000;
const MAX_ANSWER_MS = 30_000;
/**
 * Kafka, read without a consumer group: every node reads every partition. A position is a vector with the next offset
 * of each partition. Each message is one transaction, in the order of its partition.
 *
 * At its start the feed requests each partition's bounds and requires earliest ≤ wanted ≤ end. It reads the last
 * message again, which must be the same: after a restore and further writes, a cluster has other messages at the same
 * offsets. Later the broker compares the leader epoch of the last record, which detects a truncated log.
 *
 * The head is proved when requests sent after one moment have returned each partition's high watermark, with
 * partitions and leaders confirmed in the same round, and everything up to there has been read. A change of leaders
 * or partitions ends the feed, which is opened again at its position.
 */
export const kafkaFeed = defineFeed({
  type: 'kafka',
  packages: ['@platformatic/kafka'],
  schema: kafkaSchema,
  create: (config, options, deps) => new KafkaFeed(config, options, deps),
  showPosition,
  comparePositions,
});

class KafkaFeed implements Feed {
  readonly #config: FeedConfig;
  readonly #options: KafkaOptions;
  readonly #deps: FeedDeps;
  #opens = 0;

  constructor(config: FeedConfig, options: KafkaOptions, deps: FeedDeps) {
    this.#config = config;
    this.#options = options;
    this.#deps = deps;
  }

  async *open(after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const loaded = await this.#deps.loadLibrary('@platformatic/kafka', () => import('@platformatic/kafka'));
    if (loaded.kind === 'failed') {
      yield loaded;
      return;
    }
    const security = await readSecurity(this.#options);
    if (security.kind === 'failed') {
      yield security;
      return;
    }
    if (signal.aborted) return;
    const client = new KafkaClient(loaded.library, {
      brokers: this.#nextBrokers(),
      security: security.options,
      maxBytes: this.#options['max-bytes'],
      connectTimeoutMs: Math.min(this.#config.maxSilenceMs / 4, MAX_CONNECT_MS),
      answerTimeoutMs: Math.min(this.#config.maxSilenceMs, MAX_ANSWER_MS),
    });
    try {
      yield* new KafkaSession(this.#config, this.#options, this.#deps, client, signal).from(after);
    } catch (error) {
      if (!signal.aborted) yield { kind: 'failed', failure: failureOf(error) };
    } finally {
      client.close();
    }
  }

  acknowledge(): void {
    // Without a group, brokers store no offsets.
  }

  /** Rotates the brokers, because a frozen first broker would not be skipped. */
  #nextBrokers(): string[] {
    const brokers = [this.#options.brokers].flat();
    const first = this.#opens++ % brokers.length;
    return [...brokers.slice(first), ...brokers.slice(0, first)];
  }
}

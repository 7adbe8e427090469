import type { FeedConfig } from '../../policies/config/config.ts';
import { BatchSize } from './batch-size.ts';
import { defineFeed, headIntervalMs, type Feed, type FeedDeps, type FeedEvent } from './feed.ts';
import { RedisConnection } from './redis-stream/connection.ts';
import { failureOf } from './redis-stream/fault.ts';
import { entryEvent } from './redis-stream/message.ts';
import { redisStreamSchema, type RedisStreamOptions } from './redis-stream/options.ts';
import {
  compareIds,
  decideSameStream,
  formatPosition,
  gapReason,
  gapReasonAtEnd,
  headOf,
  parsePosition,
  positionAfter,
  type RedisPosition,
} from './redis-stream/position.ts';
import type { StreamEntry } from './redis-stream/position.ts';

/**
 * A Redis stream (Redis 7 or later), read without a consumer group: every node reads all of it. Each entry is one
 * transaction.
 *
 * Redis silently begins at the oldest remaining entry. So state and entries are read in one transaction. Each time
 * the state's counters prove that no entry between the position and these entries is missing, and the last entry read
 * proves that the stream is the same. If nothing follows, that is the head. XREAD serves only to wait for new
 * entries.
 */
export const redisStreamFeed = defineFeed({
  type: 'redis-stream',
  packages: ['redis'],
  schema: redisStreamSchema,
  create: (config, options, deps) => new RedisStreamFeed(config, options, deps),
  showPosition: (position) => parsePosition(position)?.id ?? position,
  comparePositions: (a, b) => {
    const [left, right] = [idOf(a), idOf(b)];
    return left === null || right === null ? null : compareIds(left, right);
  },
});

function idOf(position: string): string | null {
  return parsePosition(position)?.id ?? (/^\d+-\d+$/.test(position) ? position : null);
}

class RedisStreamFeed implements Feed {
  readonly #config: FeedConfig;
  readonly #options: RedisStreamOptions;
  readonly #deps: FeedDeps;

  constructor(config: FeedConfig, options: RedisStreamOptions, deps: FeedDeps) {
    this.#config = config;
    this.#options = options;
    this.#deps = deps;
  }

  async *open(after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    let connection: RedisConnection | null = null;
    try {
      const opened = await RedisConnection.open(this.#options, this.#config.maxSilenceMs, this.#deps, signal);
      if (opened.kind === 'failed') {
        yield opened;
        return;
      }
      connection = opened.connection;
      yield* this.#follow(connection, after, signal);
    } catch (error) {
      if (!signal.aborted) yield { kind: 'failed', failure: failureOf(error, this.#options.stream) };
    } finally {
      connection?.close();
    }
  }

  acknowledge(): void {
    // Without a group, the server stores no position.
  }

  async *#follow(
    connection: RedisConnection,
    after: string | null,
    signal: AbortSignal,
  ): AsyncGenerator<FeedEvent> {
    const headMs = headIntervalMs(this.#config.maxSilenceMs);
    const batch = new BatchSize();
    let place = after === null ? null : parsePosition(after);
    while (!signal.aborted) {
      const askedAtMonotonicMs = this.#deps.clock.monotonicMs();
      const most = batch.messages;
      const { state, own, entries } = await connection.snapshot(place?.id ?? null, most);
      const reason = place === null ? null : (gapReason(place, state) ?? decideSameStream(place, own, state));
      if (place === null || reason !== null) {
        place = headOf(state);
        yield gapBefore(place, reason ?? beginning(after));
        continue;
      }
      for (const entry of entries) {
        place = positionAfter(entry, place.ordinal + 1);
        yield this.#eventOf(entry, place);
      }
      batch.learn(entries.length, bytesOf(entries));
      if (entries.length === most) {
        yield { kind: 'behind', events: state.added - place.ordinal };
        continue;
      }
      const reasonAtEnd = gapReasonAtEnd(place, state);
      if (reasonAtEnd !== null) {
        place = headOf(state);
        yield gapBefore(place, reasonAtEnd);
      }
      yield { kind: 'head', position: formatPosition(place), askedAtMonotonicMs };
      await connection.waitForMore(place.id, headMs);
    }
  }

  #eventOf(entry: StreamEntry, place: RedisPosition): FeedEvent {
    const { format } = this.#config;
    return entryEvent(entry, formatPosition(place), { format, field: this.#options.field });
  }
}

function gapBefore(place: RedisPosition, reason: string): FeedEvent {
  return { kind: 'gap', reason, position: formatPosition(place) };
}

function beginning(after: string | null): string {
  return after === null ? 'no position' : "the position is none of a Redis stream's";
}

function bytesOf(entries: readonly StreamEntry[]): number {
  return entries.reduce(
    (sum, { fields }) => sum + fields.reduce((bytes, field) => bytes + field.length, 0),
    0,
  );
}

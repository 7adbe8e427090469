import type { JsMsg } from '@nats-io/jetstream';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { formats, messageEvent } from '../formats/formats.ts';
import { defineFeed, headIntervalMs, type Feed, type FeedDeps, type FeedEvent } from './feed.ts';
import { NatsStreamConnection } from './nats/connection.ts';
import { failureOf } from './nats/fault.ts';
import { followStream } from './nats/following.ts';
import { natsSchema, type NatsOptions } from './nats/options.ts';
import {
  comparePositions,
  decideSameHistory,
  formatPosition,
  gapReason,
  headOf,
  parsePosition,
  type NatsPosition,
  type NatsStreamState,
} from './nats/position.ts';
import { matchesSubject } from './nats/subject.ts';

/**
 * A NATS JetStream stream, read by an ephemeral consumer of this node without acknowledgements. Each message is one
 * transaction.
 *
 * Messages of all subjects are read, so that every sequence number is accounted for: a number that is not delivered
 * was removed before it was read, which the server does not report. At the start the last message read must exist and
 * be the same, because a stream that was restored from an older copy and written on has others. The head is the last
 * sequence that the stream's leader reports. It is proved as of the request once that number was read, or nothing is
 * left up to it.
 */
export const natsFeed = defineFeed({
  type: 'nats',
  packages: ['@nats-io/transport-node', '@nats-io/jetstream'],
  schema: natsSchema,
  create: (config, options, deps) => new NatsFeed(config, options, deps),
  showPosition: (position) => String(parsePosition(position)?.sequence ?? position),
  comparePositions: comparePositions,
});

class NatsFeed implements Feed {
  readonly #config: FeedConfig;
  readonly #options: NatsOptions;
  readonly #deps: FeedDeps;

  constructor(config: FeedConfig, options: NatsOptions, deps: FeedDeps) {
    this.#config = config;
    this.#options = options;
    this.#deps = deps;
  }

  async *open(after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    let connection: NatsStreamConnection | null = null;
    try {
      const { maxSilenceMs } = this.#config;
      const opened = await NatsStreamConnection.open(this.#options, maxSilenceMs, this.#deps, signal);
      if (opened.kind === 'failed') {
        yield opened;
        return;
      }
      connection = opened.connection;
      yield* this.#begin(connection, after);
    } catch (error) {
      if (!signal.aborted) yield { kind: 'failed', failure: failureOf(error, this.#options.stream) };
    } finally {
      connection?.close();
    }
  }

  acknowledge(): void {
    // The server stores no position of this consumer.
  }

  async *#begin(connection: NatsStreamConnection, after: string | null): AsyncGenerator<FeedEvent> {
    const state = await connection.state();
    const known = after === null ? null : parsePosition(after);
    const reason = known === null ? beginning(after) : await this.#gapReason(connection, known, state);
    const isHead = known === null || reason !== null;
    const place = isHead ? headOf(state, await connection.message(state.lastSequence)) : known;
    const arrivals = await connection.read(place.sequence + 1, this.#deps);
    if (reason !== null) yield { kind: 'gap', reason, position: formatPosition(place) };
    yield* followStream({
      leader: connection,
      arrivals,
      from: place,
      headMs: headIntervalMs(this.#config.maxSilenceMs),
      clock: this.#deps.clock,
      eventOf: (message, position) => this.#eventOf(message, position),
      knownBy: ({ subject, data, info: { timestampNanos } }) => ({ subject, data, timestampNanos }),
    });
  }

  async #gapReason(
    connection: NatsStreamConnection,
    place: NatsPosition,
    state: NatsStreamState,
  ): Promise<string | null> {
    const reason = gapReason(place, state);
    return reason ?? decideSameHistory(place, await connection.message(place.sequence), state);
  }

  #eventOf(message: JsMsg, position: string): FeedEvent {
    const { subjects } = this.#options;
    if (subjects !== undefined && !subjects.some((pattern) => matchesSubject(message.subject, pattern))) {
      return { kind: 'change', position, changes: [] };
    }
    const content = { body: message.data, fields: fieldsOf(message) };
    const event = messageEvent(formats[this.#config.format], content, position);
    if (event.kind !== 'change') return event;
    return { ...event, committedAtMs: Math.floor(message.info.timestampNanos / 1e6) };
  }
}

function beginning(after: string | null): string {
  return after === null ? 'no position' : "the position is none of a JetStream stream's";
}

function fieldsOf(message: JsMsg): Fields {
  const { headers } = message;
  if (headers === undefined) return [];
  return headers.keys().flatMap((name) => headers.values(name).flatMap((value) => [name, value]));
}

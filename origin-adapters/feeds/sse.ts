import { Agent, request } from 'undici';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { Format } from '../formats/format.ts';
import { formats, messageEvent } from '../formats/formats.ts';
import { EventStreamParser, type ServerSentItem } from './event-stream.ts';
import { defineFeed, type Feed, type FeedDeps, type FeedEvent, type FeedFailure } from './feed.ts';
import { sseSchema, type SseOptions } from './sse/options.ts';
import { IdleDetector, ReadState } from './sse/read-state.ts';
import { failureOf, refusalOf } from './sse/response.ts';

/** Maximum characters of one event. */
const MAX_EVENT_LENGTH = 16 * 2 ** 20;

/**
 * Server-sent events. A position is the id of the last event. The origin reports the end of the replay by `event:
 * head` or a comment, and a loss by `event: reset`. Every other event is a change in the feed's format.
 *
 * A comment at the beginning of a connection proves nothing if there is something to replay, because the replay may
 * follow it. From an origin that sends `event: head`, comments count only after that. Later comments and heads are
 * the heartbeat. They prove the head as of their arrival, because no request preceded them. If a message may have
 * waited in the socket, its arrival counts as the last moment at which nothing was readable.
 */
export const sseFeed = defineFeed({
  type: 'sse',
  schema: sseSchema,
  create: (config, options, deps) => new SseFeed(config, options, deps),
  showPosition: (position) => position,
  comparePositions: compareIds,
});

/** Ids are chosen by the origin; only numbers have an order. */
function compareIds(a: string, b: string): number | null {
  if (a === b) return 0;
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return null;
  const difference = BigInt(a) - BigInt(b);
  if (difference === 0n) return 0;
  return difference < 0n ? -1 : 1;
}

class SseFeed implements Feed {
  readonly #config: FeedConfig;
  readonly #options: SseOptions;
  readonly #deps: FeedDeps;
  readonly #format: Format;
  /** The origin has sent `event: head` before, on any connection. */
  #sendsHead = false;

  constructor(config: FeedConfig, options: SseOptions, deps: FeedDeps) {
    this.#config = config;
    this.#options = options;
    this.#deps = deps;
    this.#format = formats[config.format];
  }

  async *open(after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const agent = new Agent({
      connections: 1,
      allowH2: false,
      // The runner limits the silence of the stream by max-silence.
      bodyTimeout: 0,
      headersTimeout: this.#config.maxSilenceMs,
      connectTimeout: this.#config.maxSilenceMs,
    });
    try {
      yield* this.#follow(agent, after, signal);
    } catch (error) {
      if (!signal.aborted) yield { kind: 'failed', failure: lost(error) };
    } finally {
      await agent.destroy();
    }
  }

  acknowledge(): void {
    // The origin stores no position.
  }

  async *#follow(agent: Agent, after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const lastId = this.#options.replay && after !== null && namesPlace(after) ? after : null;
    const askedAtMs = this.#deps.clock.monotonicMs();
    const response = await request(this.#options.url, {
      dispatcher: agent,
      method: 'GET',
      headers: this.#headers(lastId),
      signal,
    });
    const refusal = refusalOf(response);
    if (refusal !== null) {
      yield { kind: 'failed', failure: refusal };
      return;
    }
    if (lastId === null) {
      yield { kind: 'gap', reason: beginning(after, this.#options.replay), position: null };
    }

    const reading = new ReadState(lastId, askedAtMs);
    const parser = new EventStreamParser(MAX_EVENT_LENGTH);
    const decoder = new TextDecoder();
    for await (const chunk of this.#piecesOf(response.body as AsyncIterable<Uint8Array>, reading)) {
      for (const item of parser.feed(decoder.decode(chunk, { stream: true }))) {
        if (signal.aborted) return;
        const event = this.#eventOf(item, reading);
        if (event !== null) yield event;
        if (item.kind === 'too-long') {
          yield { kind: 'failed', failure: tooLong };
          return;
        }
      }
    }
    if (!signal.aborted) yield { kind: 'failed', failure: ended };
  }

  async *#piecesOf(body: AsyncIterable<Uint8Array>, reading: ReadState): AsyncGenerator<Uint8Array> {
    const pieces = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const idling = new IdleDetector();
        const piece = await pieces.next();
        if (idling.end()) reading.emptyAtMs = this.#deps.clock.monotonicMs();
        if (piece.done === true) return;
        yield piece.value;
      }
    } finally {
      await pieces.return?.();
    }
  }

  #headers(lastId: string | null): Record<string, string> {
    const headers: Record<string, string> = { accept: 'text/event-stream', 'cache-control': 'no-store' };
    // HTML §9.2.4: ids are UTF-8; header values are sent byte by byte.
    if (lastId !== null) headers['last-event-id'] = Buffer.from(lastId, 'utf8').toString('latin1');
    if (this.#options.authorization !== undefined) headers['authorization'] = this.#options.authorization;
    return headers;
  }

  #eventOf(item: ServerSentItem, reading: ReadState): FeedEvent | null {
    switch (item.kind) {
      case 'comment':
        return this.#isProof(reading) ? this.#head(reading) : null;
      case 'block':
        return this.#blockEvent(item, reading);
      case 'too-long':
        return { kind: 'gap', reason: tooLong.message, position: null };
      default:
        return item satisfies never;
    }
  }

  #blockEvent(block: Extract<ServerSentItem, { kind: 'block' }>, reading: ReadState): FeedEvent | null {
    reading.isGreeted = true;
    if (block.event === 'reset') {
      reading.lastId = block.id;
      return { kind: 'gap', reason: 'the origin sent reset', position: block.id };
    }
    reading.lastId = block.id ?? reading.lastId;
    if (block.event === 'head') {
      this.#sendsHead = true;
      reading.hasHead = true;
      return this.#head(reading);
    }
    const position = reading.lastId ?? '';
    if (block.data === null) return block.id === null ? null : { kind: 'change', position, changes: [] };
    return messageEvent(this.#format, { body: Buffer.from(block.data), fields: [] }, position);
  }

  #isProof(reading: ReadState): boolean {
    if (this.#sendsHead) return reading.hasHead;
    const isGreeting = !reading.isGreeted;
    reading.isGreeted = true;
    return !isGreeting;
  }

  /** The first head responds to this request; the origin was not asked for later ones. */
  #head(reading: ReadState): FeedEvent {
    const askedAtMonotonicMs = reading.hasProved ? reading.emptyAtMs : reading.askedAtMs;
    reading.hasProved = true;
    return { kind: 'head', position: reading.lastId, askedAtMonotonicMs };
  }
}

/** A stream without ids leaves an empty id. A header can't contain control characters. */
function namesPlace(id: string): boolean {
  return id !== '' && !/[^\t\P{Cc}]/u.test(id);
}

function beginning(after: string | null, replay: boolean): string {
  if (after === null) return 'no position';
  return replay ? "the last id can't be sent" : 'the connection was lost and nothing is replayed';
}

function lost(cause: unknown): FeedFailure {
  const message = cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
  return { kind: 'unreachable', retry: 'soon', message, cause };
}

const ended = failureOf('unreachable', 'soon', 'the origin ended the event stream');
const tooLong = failureOf('protocol', 'slowly', `an event is longer than ${MAX_EVENT_LENGTH} characters`);

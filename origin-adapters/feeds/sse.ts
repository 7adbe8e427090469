import { Agent, request, type Dispatcher } from 'undici';
import { z } from 'zod';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { Format } from '../formats/format.ts';
import { formats, messageEvent } from '../formats/formats.ts';
import { EventStreamParser, type ServerSentItem } from './event-stream.ts';
import { defineFeed, type Feed, type FeedDeps, type FeedEvent, type FeedFailure } from './feed.ts';

/** Characters of one event. */
const MAX_EVENT_LENGTH = 16 * 2 ** 20;

const schema = z.strictObject({
  url: z
    .string()
    .regex(/^(https?:\/\/|demo:)/, { error: 'an http or https URL' })
    .describe('Where the event stream is: an http or https URL.'),
  replay: z
    .boolean()
    .prefault(true)
    .describe(
      'Whether the origin replays what came after Last-Event-ID. If not, a lost connection is a gap.',
    ),
  authorization: z
    .string()
    .min(1)
    .optional()
    .describe('The Authorization header to send, such as "Bearer ${TOKEN}".'),
});

type SseOptions = z.output<typeof schema>;

/**
 * Server-sent events. The position is the last event's id. The origin says that it has replayed everything with
 * `event: head`, or else with a comment, and that something is lost with `event: reset`; every other event is a change in
 * the feed's format.
 *
 * A comment that greets a connection which has something to be replayed proves nothing, for the replay may follow it;
 * and of an origin that says `event: head`, comments count only behind it. Later comments and heads are the heartbeat:
 * they are believed at the moment at which they arrive, for the origin was not asked. What may have waited for us to read
 * it counts as having come when there last was nothing to read.
 */
export const sseFeed = defineFeed({
  type: 'sse',
  schema,
  create: (config, options, deps) => new SseFeed(config, options, deps),
  showPosition: (position) => position,
  comparePositions: compareIds,
});

/** Ids are the origin's own words; only numbers have an order. */
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
  /** The origin was heard to say `event: head` at some time. */
  #saysHead = false;

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
      // What bounds a silent stream is max-silence, which the runner watches.
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
    // The origin keeps no place for us.
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

    const reading = new Reading(lastId, askedAtMs);
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

  async *#piecesOf(body: AsyncIterable<Uint8Array>, reading: Reading): AsyncGenerator<Uint8Array> {
    const pieces = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const idling = new Idling();
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
    // Ids are UTF-8 (HTML §9.2.4); header values go out byte by byte.
    if (lastId !== null) headers['last-event-id'] = Buffer.from(lastId, 'utf8').toString('latin1');
    if (this.#options.authorization !== undefined) headers['authorization'] = this.#options.authorization;
    return headers;
  }

  #eventOf(item: ServerSentItem, reading: Reading): FeedEvent | null {
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

  #blockEvent(block: Extract<ServerSentItem, { kind: 'block' }>, reading: Reading): FeedEvent | null {
    reading.isGreeted = true;
    if (block.event === 'reset') {
      reading.lastId = block.id;
      return { kind: 'gap', reason: 'the origin says reset', position: block.id };
    }
    reading.lastId = block.id ?? reading.lastId;
    if (block.event === 'head') {
      this.#saysHead = true;
      reading.hasHead = true;
      return this.#head(reading);
    }
    const position = reading.lastId ?? '';
    if (block.data === null) return block.id === null ? null : { kind: 'change', position, changes: [] };
    return messageEvent(this.#format, { body: Buffer.from(block.data), fields: [] }, position);
  }

  #isProof(reading: Reading): boolean {
    if (this.#saysHead) return reading.hasHead;
    const isGreeting = !reading.isGreeted;
    reading.isGreeted = true;
    return !isGreeting;
  }

  /** The first one answers our request; the origin was not asked for the others. */
  #head(reading: Reading): FeedEvent {
    const askedAtMonotonicMs = reading.hasProved ? reading.emptyAtMs : reading.askedAtMs;
    reading.hasProved = true;
    return { kind: 'head', position: reading.lastId, askedAtMonotonicMs };
  }
}

/** How far one connection has been read. */
class Reading {
  readonly askedAtMs: number;
  /** When there last was nothing to read: what was read since has come since. */
  emptyAtMs: number;
  lastId: string | null;
  /** The replay may have begun: what is said now is no mere greeting. */
  isGreeted: boolean;
  hasHead = false;
  hasProved = false;

  constructor(lastId: string | null, askedAtMs: number) {
    this.lastId = lastId;
    this.askedAtMs = askedAtMs;
    this.emptyAtMs = askedAtMs;
    this.isGreeted = lastId === null;
  }
}

/** What the socket holds already is read within that many turns of the loop. */
const IDLE_TURNS = 3;

/** Notices whether something had to be waited for, from its making on. */
class Idling {
  #turns = 0;
  #next = setImmediate(() => this.#turn());

  /** True: there was nothing to read until now. */
  end(): boolean {
    clearImmediate(this.#next);
    return this.#turns >= IDLE_TURNS;
  }

  #turn(): void {
    this.#turns += 1;
    if (this.#turns < IDLE_TURNS) this.#next = setImmediate(() => this.#turn());
  }
}

/** An empty id is what a stream without ids leaves; one with control characters is none that a header can carry. */
function namesPlace(id: string): boolean {
  return id !== '' && !/[^\t\P{Cc}]/u.test(id);
}

function beginning(after: string | null, replay: boolean): string {
  if (after === null) return 'no position';
  return replay ? 'the last id is none to ask for' : 'the connection was lost and nothing is replayed';
}

function refusalOf(response: Dispatcher.ResponseData): FeedFailure | null {
  const status = response.statusCode;
  const contentType = String(response.headers['content-type'] ?? '');
  if (status === 200 && response.headers['content-encoding'] !== undefined) {
    return failureOf('protocol', 'slowly', 'the event stream is compressed, which was not asked for');
  }
  if (status === 200 && /^text\/event-stream\s*(;|$)/i.test(contentType)) return null;
  if (status === 200) {
    return failureOf(
      'protocol',
      'slowly',
      `expected text/event-stream, got ${contentType || 'no content type'}`,
    );
  }
  if (status === 401 || status === 403) {
    return failureOf('refused', 'slowly', `the origin answers ${status}: set or correct authorization`);
  }
  if (status === 404 || status === 410 || status === 204) {
    return failureOf(
      'missing',
      'slowly',
      `the origin answers ${status}: there is no event stream at this url`,
    );
  }
  if (status >= 500 || status === 429 || status === 408) {
    return failureOf('unreachable', 'soon', `the origin answers ${status}`);
  }
  return failureOf('protocol', 'slowly', `the origin answers ${status}`);
}

function lost(cause: unknown): FeedFailure {
  const message = cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
  return { kind: 'unreachable', retry: 'soon', message, cause };
}

function failureOf(kind: FeedFailure['kind'], retry: FeedFailure['retry'], message: string): FeedFailure {
  return { kind, retry, message, cause: null };
}

const ended = failureOf('unreachable', 'soon', 'the origin ended the event stream');
const tooLong = failureOf('protocol', 'slowly', `an event is longer than ${MAX_EVENT_LENGTH} characters`);

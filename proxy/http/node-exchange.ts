/**
 * An exchange over `node:http`. Lean on purpose: a hit from memory makes one of these, one head and one write.
 */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { ListenLimits } from '../../policies/config/config.ts';
import { acceptsEventStreamAlone, isEventStream } from '../../policies/http/event-stream.ts';
import { hasField } from '../../policies/http/fields.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { systemClock } from '../threads/clock.ts';
import type { Connection, OpenExchange } from './connection.ts';
import type { Exchange, ResponseSink } from './exchange.ts';
import { listenerError } from './error-responses.ts';
import type { Problem } from './problem.ts';
import { RequestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';
import { declaredLength, frameFields, writableFields } from './response-head.ts';
import type { Framing } from './response-head.ts';
import { NodeResponseSink } from './response-sink.ts';
import { joinStreams } from './tunnel.ts';

export type AcceptedHead = Extract<RequestHead, { kind: 'accepted' }>;

/** What all exchanges of one listener share. */
export interface ListenerContext {
  readonly scheme: 'http' | 'https';
  readonly limits: ListenLimits;
  readonly log: ListenerLog;
  /** Set by `stop`: answers from then on close their connection. */
  stopping: boolean;
  onTooSlow(part: SlowPart): void;
  /** Set by `stop` when event streams and tunnels have had their time: such as begin from then on end at once. */
  endsStreams: boolean;
}

/** What of a request came, or of its answer was read, too slowly: the time of `total` had passed for the whole of it. */
export type SlowPart = 'head' | 'content' | 'total' | 'answer';

/** As much of a `pino` logger as is used. */
export interface ListenerLog {
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}

export interface UpgradeRequest {
  /** Lower case, at least one. */
  readonly protocols: readonly string[];
  /** What the client sent after its head already. */
  readonly head: Buffer;
}

export type ExchangeEnd = { readonly complete: boolean; readonly bytes: number };

/** Content that may still be on its way when an answer ends; more, and the connection is closed. */
const DISCARD_BYTES = 64 * 1024;

/** How long a client may take to read the rest of a stream of events that was ended. */
const STREAM_END_MS = 5_000;

const NO_BYTES = new Uint8Array(0);

/** For answers that nobody hears. */
const DEAF_SINK: ResponseSink = { write: () => true, onDrain: () => {}, end: () => {} };

export class NodeExchange implements Exchange, OpenExchange {
  readonly method: string;
  readonly version: string;
  readonly target: string;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly fields: Fields;
  readonly startedAt: number;
  readonly body: Readable | null;
  readonly upgrade: readonly string[] | null;

  private readonly context: ListenerContext;
  private readonly connection: Connection;
  private readonly request: IncomingMessage;
  private readonly response: ServerResponse;
  private readonly content: RequestBody | null;
  private readonly clientHead: Buffer | null;
  private sink: NodeResponseSink | null = null;
  private contentBytes = 0;
  private waitsForContinue: boolean;
  private streamsEvents = false;
  private endsWithConnection = false;
  private answered = false;
  private refused = false;
  private gone = false;
  private end: ExchangeEnd | null = null;
  private stalling: 'never' | 'no' | 'yes' = 'never';
  private goneListeners: (() => void)[] | null = null;
  private endListeners: ((end: ExchangeEnd) => void)[] | null = null;

  constructor(
    context: ListenerContext,
    connection: Connection,
    head: AcceptedHead,
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: UpgradeRequest | null,
  ) {
    this.method = request.method!;
    this.version = request.httpVersion;
    this.target = head.target;
    this.authority = head.authority === '' ? connection.localAuthority : head.authority;
    this.scheme = context.scheme;
    this.fields = head.fields;
    this.startedAt = systemClock.monotonicMs();
    this.upgrade = upgrade === null ? null : upgrade.protocols;
    this.context = context;
    this.connection = connection;
    this.request = request;
    this.response = response;
    this.clientHead = upgrade === null ? null : upgrade.head;
    this.waitsForContinue = head.expectsContinue;
    this.content = head.content.kind === 'none' ? null : this.readContent(head.content.bytes);
    this.body = this.content;
    connection.exchangeBegan(this);
    response.on('finish', () => this.settle(true));
  }

  get remoteAddress(): string {
    return this.connection.remoteAddress;
  }

  get closed(): boolean {
    return this.refused || this.end !== null;
  }

  /** True while the request's content is still expected. */
  get receiving(): boolean {
    return this.content !== null && !this.request.complete;
  }

  get isEventStream(): boolean {
    if (this.answered) return this.streamsEvents;
    return this.method === 'GET' && acceptsEventStreamAlone(this.fields);
  }

  /** Between two pieces of the content, as an origin would that stops. Before the head, the connection says it. */
  endStream(): void {
    if (this.end !== null) return;
    this.tellGone();
    if (this.sink === null || !(this.response.chunkedEncoding || this.endsWithConnection)) {
      this.abort();
      return;
    }
    this.response.end();
    const timer = setTimeout(() => this.abort(), STREAM_END_MS);
    this.onEnd(() => clearTimeout(timer));
  }

  onGone(listener: () => void): void {
    if (this.gone) listener();
    else if (this.end === null) (this.goneListeners ??= []).push(listener);
  }

  onEnd(listener: (end: ExchangeEnd) => void): void {
    if (this.end === null) (this.endListeners ??= []).push(listener);
    else listener(this.end);
  }

  inform(status: number, fields: Fields): void {
    // HTTP/1.0 has no interim responses; 100 is sent when the content is first read (RFC 9110 §15.2).
    if (this.answered || this.closed || this.request.httpVersionMinor === 0) return;
    if (status <= 101 || status > 199 || this.upgrade !== null) return;
    // Behind answers that are still owed there is no place for it, and nobody relies on one.
    if (this.response.socket === null) return;
    this.response.writeInformation(status, writableFields(frameFields(fields, 'none', null)).kept);
  }

  respond(status: number, fields: readonly string[], content: Uint8Array | null): void {
    if (!this.beginAnswer(status)) return;
    const bytes = content === null ? 0 : content.length;
    if (this.leavesContentOut(status)) {
      this.writeHead(status, fields, status === 204 ? 'none' : 'as-given');
      this.response.end();
      return;
    }
    this.writeHead(status, fields, bytes);
    this.contentBytes = bytes;
    if (bytes === 0) this.response.end();
    else this.response.end(content);
    if (this.response.socket === null || this.response.socket.writableLength > 0) this.stalled();
  }

  stream(status: number, fields: readonly string[]): ResponseSink {
    const withoutContent = this.leavesContentOut(status);
    const declared = declaredLength(fields);
    if (!this.beginAnswer(status)) return DEAF_SINK;
    this.sink = new NodeResponseSink(this.response, this, declared, withoutContent);
    if (withoutContent) this.writeHead(status, fields, status === 204 ? 'none' : 'as-given');
    else if (declared !== null) this.writeHead(status, fields, declared);
    else {
      this.endsWithConnection = this.request.httpVersionMinor === 0;
      this.writeHead(status, fields, this.endsWithConnection ? 'none' : 'chunked');
    }
    this.streamsEvents = isEventStream(fields);
    process.nextTick(() => {
      this.flushHead();
      if (this.streamsEvents && this.context.endsStreams) this.endStream();
    });
    return this.sink;
  }

  tunnel(status: number, fields: readonly string[], origin: Duplex, head: Uint8Array): void {
    if (this.clientHead === null || this.answered || this.closed) {
      origin.destroy();
      return;
    }
    this.answered = true;
    const { socket } = this.connection;
    this.response.detachSocket(socket);
    const before = socket.bytesWritten;
    socket.write(this.switchingHead(status, fields), 'latin1');
    if (head.length > 0) socket.write(head);
    if (this.clientHead.length > 0) origin.write(this.clientHead);
    this.connection.endTunnel = joinStreams(socket, origin, this.context.limits.tunnelMs, () => {
      this.contentBytes = socket.bytesWritten - before;
      this.settle(true);
    });
    if (this.context.endsStreams) this.connection.endTunnel();
  }

  abort(): void {
    if (this.end !== null) return;
    const { socket } = this.connection;
    // Where the end of the connection is the end of the content, only a reset shows that some is missing.
    if (this.endsWithConnection && this.context.scheme === 'http') socket.resetAndDestroy();
    else socket.destroy();
    this.settle(false);
  }

  connectionClosed(): void {
    // A tunnel has ended when its other side has, too.
    if (this.connection.endTunnel === null) this.settle(false);
  }

  /** Answers in the listener's own name while the request is still being received; its reader hears that the client has gone. */
  refuse(refusal: Problem): void {
    this.content?.fail(new Error('The request could not be received whole.'));
    this.connection.linger();
    if (this.response.writableEnded) {
      this.connection.closeOnceAnswered();
    } else if (this.response.headersSent) {
      this.abort();
    } else if (this.end === null) {
      this.answered = true;
      this.refused = true;
      this.tellGone();
      this.contentBytes = refusal.content.length;
      this.writeHead(refusal.status, refusal.fields, refusal.content.length);
      this.response.end(refusal.content);
    }
  }

  drained(): void {
    this.response.emit('drain');
  }

  stalled(): void {
    if (this.stalling === 'yes') return;
    // Behind answers that are still owed, it is not this one's client that is slow.
    if (this.response.socket === null) {
      this.response.once('socket', () => this.stalled());
      return;
    }
    // Node sets its own timeout for the idle time that follows, when the answer has finished: ours is gone by then.
    if (this.stalling === 'never') {
      this.response.prependListener('finish', () => this.caughtUp());
      const cut = (): void => {
        if (this.stalling === 'yes') this.context.onTooSlow('answer');
      };
      // Node itself closes the connection.
      this.connection.socket.on('timeout', cut);
      this.onEnd(() => this.connection.socket.off('timeout', cut));
    }
    this.stalling = 'yes';
    this.connection.socket.setTimeout(this.context.limits.idleMs);
  }

  caughtUp(): void {
    if (this.stalling !== 'yes') return;
    this.stalling = 'no';
    this.connection.socket.setTimeout(0);
  }

  private readContent(declaredBytes: number | null): RequestBody {
    return new RequestBody(this.request, {
      limitBytes: this.context.limits.bodyBytes,
      declaredBytes,
      onFirstRead: () => {
        if (this.response.socket !== null) this.sendContinue();
        // Behind answers that are still owed, an interim response must wait for its turn.
        else this.response.once('socket', () => this.sendContinue());
      },
      leastBytesPerSecond: this.context.limits.bodyBytesPerSecond,
      rateWindowMs: Math.min(this.context.limits.bodyGraceMs, this.context.limits.requestMs),
      onTooSlow: () => {
        this.context.onTooSlow('content');
        const limit = Math.max(1, this.context.limits.bodyBytesPerSecond);
        this.refuse(listenerError('content-timeout', { limit }));
      },
      onTooLarge: () =>
        this.refuse(listenerError('content-too-large', { limit: this.context.limits.bodyBytes })),
    });
  }

  /** False where nothing can be answered any more. A status that is no final one is answered with 502. */
  private beginAnswer(status: number): boolean {
    if (this.answered || this.closed) return false;
    this.answered = true;
    if (Number.isInteger(status) && status >= 200 && status <= 999) return true;
    this.context.log.warn({ status }, 'an answer had no valid status');
    this.refused = true;
    this.tellGone();
    const refused = listenerError('invalid-status');
    this.contentBytes = refused.content.length;
    this.writeHead(refused.status, refused.fields, refused.content.length);
    this.response.end(refused.content);
    return false;
  }

  /** The head does not wait for content, but goes out with it where that comes at once. */
  private flushHead(): void {
    if (this.end === null && this.sink?.writtenBytes === 0 && !this.response.writableEnded) {
      // With bytes, be they none, it goes out as it is; Node's own flushing would encode it as UTF-8.
      this.response.write(NO_BYTES);
    }
  }

  private leavesContentOut(status: number): boolean {
    return status === 204 || status === 304 || this.method === 'HEAD';
  }

  private writeHead(status: number, fields: Fields, framing: Framing): void {
    const framed = frameFields(fields, framing, this.persistence());
    try {
      this.response.writeHead(status, framed as string[]);
    } catch {
      const { kept, dropped } = writableFields(framed);
      this.context.log.warn({ fields: dropped }, 'fields that cannot be written were left out of an answer');
      this.response.writeHead(status, kept);
    }
  }

  /** What the answer says of the connection; null: nothing that Node does not say by itself. */
  private persistence(): 'close' | 'keep-alive' | null {
    const { content, connection, request, response } = this;
    // RFC 9110 §10.1.1: who still waits for 100 may send the content or not, so nothing can follow it.
    if (content !== null && (this.owesContinue() || content.remainingBytes > DISCARD_BYTES)) {
      connection.linger();
    }
    if (this.context.stopping || this.upgrade !== null) connection.closing = true;
    if (connection.closesAfter(this)) return 'close';
    // Node would close wherever no 100 was sent, though the content is here, or there is none.
    const expected = request.httpVersionMinor === 1 && request.headers.expect !== undefined;
    return expected && response.shouldKeepAlive ? 'keep-alive' : null;
  }

  private sendContinue(): void {
    if (this.owesContinue() && !this.response.headersSent) this.response.writeContinue();
    this.waitsForContinue = false;
  }

  private owesContinue(): boolean {
    return this.waitsForContinue && !this.request.complete;
  }

  private switchingHead(status: number, fields: Fields): string {
    const { kept } = writableFields(frameFields(fields, 'none', null));
    if (!hasField(kept, 'upgrade')) kept.push('Upgrade', this.upgrade?.join(', ') ?? '');
    kept.push('Connection', 'Upgrade');
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
    for (let i = 0; i < kept.length; i += 2) head += `${kept[i]}: ${kept[i + 1]}\r\n`;
    return `${head}\r\n`;
  }

  private settle(finished: boolean): void {
    if (this.end !== null) return;
    const bytes = this.sink === null ? this.contentBytes : this.sink.writtenBytes;
    this.end = { complete: finished && !this.refused, bytes };
    if (!this.end.complete) this.tellGone();
    if (this.receiving) {
      if (finished) this.content?.discard();
      else this.content?.fail(new Error('The client left before its request was complete.'));
    }
    this.connection.exchangeEnded(this);
    if (this.context.stopping) this.connection.closeOnceAnswered();
    for (const listener of this.endListeners ?? []) listener(this.end);
    this.endListeners = null;
    this.goneListeners = null;
  }

  private tellGone(): void {
    if (this.gone) return;
    this.gone = true;
    for (const listener of this.goneListeners ?? []) listener();
    this.goneListeners = null;
  }
}

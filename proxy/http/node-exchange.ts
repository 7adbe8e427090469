/**
 * An exchange over `node:http`. Kept lean: a memory hit costs one of these, one head and one write.
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

/** State that all exchanges of one listener share. */
export interface ListenerContext {
  readonly scheme: 'http' | 'https';
  readonly limits: ListenLimits;
  readonly log: ListenerLog;
  /** Set by `stop`: later responses close their connection. */
  stopping: boolean;
  onTooSlow(part: SlowPart): void;
  /** Set by `stop` when the time of event streams and tunnels is over: those that begin later end at once. */
  endsStreams: boolean;
}

/** The part of an exchange that was too slow: `answer`, the client read the response too slowly; `total`, `limits.total` passed. */
export type SlowPart = 'head' | 'content' | 'total' | 'answer';

/** The part of a `pino` logger that is used. */
export interface ListenerLog {
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}

export interface UpgradeRequest {
  /** Lower case, at least one. */
  readonly protocols: readonly string[];
  /** Bytes that the client has already sent after its head. */
  readonly head: Buffer;
}

export type ExchangeEnd = { readonly complete: boolean; readonly bytes: number };

/** Content of a request that is read and dropped after the response; with more to come, the connection is closed. */
const DISCARD_BYTES = 64 * 1024;

/** How long a client may take to read the rest of an event stream that was ended. */
const STREAM_END_MS = 5_000;

const NO_BYTES = new Uint8Array(0);

/** Sink for responses whose client has gone. */
const GONE_SINK: ResponseSink = { write: () => true, onDrain: () => {}, end: () => {} };

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

  /** Whether content of the request is still to come. */
  get receiving(): boolean {
    return this.content !== null && !this.request.complete;
  }

  get isEventStream(): boolean {
    if (this.answered) return this.streamsEvents;
    return this.method === 'GET' && acceptsEventStreamAlone(this.fields);
  }

  /** Ends an event stream between two writes. Before the head was sent, the connection is closed instead. */
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
    // Earlier responses are still owed, so an interim response has no place on the wire yet; it is dropped.
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
    if (!this.beginAnswer(status)) return GONE_SINK;
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
    // If the content ends with the connection, only a reset shows that some is missing.
    if (this.endsWithConnection && this.context.scheme === 'http') socket.resetAndDestroy();
    else socket.destroy();
    this.settle(false);
  }

  connectionClosed(): void {
    // A tunnel ends when its other side has ended as well.
    if (this.connection.endTunnel === null) this.settle(false);
  }

  /** Responds for the listener while the request is still being received. To its handler, the client has gone. */
  refuse(problem: Problem): void {
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
      this.contentBytes = problem.content.length;
      this.writeHead(problem.status, problem.fields, problem.content.length);
      this.response.end(problem.content);
    }
  }

  drained(): void {
    this.response.emit('drain');
  }

  stalled(): void {
    if (this.stalling === 'yes') return;
    // Earlier responses are still owed: this one does not wait for the client yet.
    if (this.response.socket === null) {
      this.response.once('socket', () => this.stalled());
      return;
    }
    // Ours ends before Node sets its timeout for the idle time after the response.
    if (this.stalling === 'never') {
      this.response.prependListener('finish', () => this.caughtUp());
      const cut = (): void => {
        if (this.stalling === 'yes') this.context.onTooSlow('answer');
      };
      // Node closes the connection itself.
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
        // Earlier responses are still owed: 100 waits for its turn.
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

  /** False if no response can be sent any more. An invalid or interim status is replaced by 502. */
  private beginAnswer(status: number): boolean {
    if (this.answered || this.closed) return false;
    this.answered = true;
    if (Number.isInteger(status) && status >= 200 && status <= 999) return true;
    this.context.log.warn({ status }, 'a response had no valid status');
    this.refused = true;
    this.tellGone();
    const refused = listenerError('invalid-status');
    this.contentBytes = refused.content.length;
    this.writeHead(refused.status, refused.fields, refused.content.length);
    this.response.end(refused.content);
    return false;
  }

  /** Sends the head alone if no content was written in the same turn. */
  private flushHead(): void {
    if (this.end === null && this.sink?.writtenBytes === 0 && !this.response.writableEnded) {
      // An empty write sends the head as latin1; `flushHeaders` would encode it as UTF-8.
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
      this.context.log.warn({ fields: dropped }, 'fields that cannot be written were left out of a response');
      this.response.writeHead(status, kept);
    }
  }

  /** The response's Connection option; null: Node writes the right one itself. */
  private persistence(): 'close' | 'keep-alive' | null {
    const { content, connection, request, response } = this;
    // RFC 9110 §10.1.1: a client that waits for 100 may send the content or not, so no request can follow.
    if (content !== null && (this.owesContinue() || content.remainingBytes > DISCARD_BYTES)) {
      connection.linger();
    }
    if (this.context.stopping || this.upgrade !== null) connection.closing = true;
    if (connection.closesAfter(this)) return 'close';
    // Node would close after every response without 100, though the content has come or there is none.
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

/**
 * An exchange over an HTTP/1.1 connection. Kept lean: a memory hit costs one of these, one head and one write.
 */
import type { Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { acceptsEventStreamAlone, isEventStream } from '../../../policies/http/event-stream.ts';
import { hasField, type Fields } from '../../../policies/http/fields.ts';
import type { SharedFields } from '../../../policies/http/shared-fields.ts';
import { listenerError } from '../error-responses.ts';
import type { Exchange, ResponseSink } from '../exchange.ts';
import type { ListenerContext } from '../listener-context.ts';
import type { Problem } from '../problem.ts';
import type { AcceptedHead } from '../request-head.ts';
import { joinStreams } from '../tunnel.ts';
import { RequestBody } from './request-body.ts';
import {
  declaredLength,
  renderHead,
  renderInterim,
  renderSharedHead,
  type Framing,
  type RenderedHead,
} from './response-head.ts';
import { ContentSink, type SinkOwner } from './response-sink.ts';
import type { Piece, SocketWriter, Written } from './socket-writer.ts';

export type ExchangeEnd = { readonly complete: boolean; readonly bytes: number };

/** The connection as its exchanges use it. */
export interface ExchangeConnection {
  readonly socket: Socket;
  readonly context: ListenerContext;
  readonly remoteAddress: string;
  readonly localAuthority: string;
  readonly writer: SocketWriter;
  /** What a response says when another request may follow. */
  readonly keepAliveLines: string;
  /** Further requests are not processed; the last response says `Connection: close`. */
  readNoHeads(): void;
  /** Ends the tunnel that the connection has become; null: it is not a tunnel. */
  endTunnel: (() => void) | null;
  /** Whether the exchange's response is the next to be written. */
  isCurrent(exchange: H1Exchange): boolean;
  /** Whether the exchange's response is the last on this connection, and so must say `Connection: close`. */
  closesAfter(exchange: H1Exchange): boolean;
  /** Sends bytes in the exchange's turn. False: the connection owes its bound. */
  send(exchange: H1Exchange, piece: Piece): boolean;
  /** As `send`, of a response that is complete with it. */
  sendWhole(exchange: H1Exchange, head: string, content: Uint8Array | null): void;
  /** All of the exchange's response has been sent. */
  answered(exchange: H1Exchange): void;
  /** Drops what the exchange has kept. The connection ends in its turn, behind the earlier responses. */
  forgetKept(exchange: H1Exchange): void;
  exchangeEnded(exchange: H1Exchange): void;
  /** The reader of the content has caught up. */
  contentHasRoom(): void;
  /** Ends the writing side after what is owed, and closes when the client does. */
  finish(): void;
  /** Gives the socket to a tunnel, with the bytes that the client has sent after its request. */
  handOver(): Buffer[];
}

/** Content of a request that is read and dropped after the response; with more to come, the connection is closed. */
const DISCARD_BYTES = 64 * 1024;

/** How long a client may take to read the rest of an event stream that was ended. */
const STREAM_END_MS = 5_000;

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const CLOSE = 'Connection: close\r\n';

/** Sink for responses whose client has gone. */
const GONE_SINK: ResponseSink = { write: () => true, onDrain: () => {}, end: () => {} };

export class H1Exchange implements Exchange, SinkOwner, Written {
  readonly method: string;
  readonly version: string;
  readonly target: string;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly fields: Fields;
  readonly startedAt: number;
  readonly upgrade: readonly string[] | null;
  /** All of the response has been given to the connection. */
  isAnswered = false;
  /** The response's bytes while earlier responses are owed. */
  outbox: Piece[] | null = null;
  /** It was aborted while earlier responses are owed: in its turn the connection ends. */
  isCut = false;

  private readonly connection: ExchangeConnection;
  private readonly content: RequestBody | null;
  private sink: ContentSink | null = null;
  private contentBytes = 0;
  private waitsForContinue: boolean;
  private owesContinueInTurn = false;
  private streamsEvents = false;
  private isChunked = false;
  private endsWithConnection = false;
  private answered = false;
  private refused = false;
  private gone = false;
  private end: ExchangeEnd | null = null;
  private goneListeners: (() => void)[] | null = null;
  private endListeners: ((end: ExchangeEnd) => void)[] | null = null;

  /** `upgrade`: the head's, or null where this connection can't switch. */
  constructor(
    connection: ExchangeConnection,
    head: AcceptedHead,
    upgrade: readonly string[] | null,
    startedAtMs: number,
  ) {
    this.connection = connection;
    this.method = head.method;
    this.version = head.minor === 0 ? '1.0' : '1.1';
    this.target = head.target;
    this.authority = head.authority === '' ? connection.localAuthority : head.authority;
    this.scheme = connection.context.scheme;
    this.fields = head.fields;
    this.startedAt = startedAtMs;
    this.upgrade = upgrade;
    this.waitsForContinue = head.expectsContinue;
    this.content = head.content.kind === 'none' ? null : this.makeContent(head.content.bytes);
  }

  get remoteAddress(): string {
    return this.connection.remoteAddress;
  }

  get body(): Readable | null {
    return this.content;
  }

  /** The content as the connection fills it. */
  get receivedContent(): RequestBody | null {
    return this.content;
  }

  get closed(): boolean {
    return this.refused || this.isCut || this.end !== null;
  }

  /** Whether content of the request is still to come. */
  get receiving(): boolean {
    return this.content !== null && !this.content.isWhole;
  }

  /** The response has a head. */
  get hasBegun(): boolean {
    return this.answered;
  }

  /** The response has no end, and its client reconnects when it is cut. */
  get isEventStream(): boolean {
    if (this.answered) return this.streamsEvents;
    return this.method === 'GET' && acceptsEventStreamAlone(this.fields);
  }

  /** Ends an event stream between two writes. Before the head was sent, the connection is closed instead. */
  endStream(): void {
    if (this.end !== null) return;
    this.tellGone();
    if (this.sink === null || !(this.isChunked || this.endsWithConnection)) {
      this.abort();
      return;
    }
    this.sink.end();
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
    if (this.answered || this.closed || this.version === '1.0') return;
    if (status <= 101 || status > 199 || this.upgrade !== null) return;
    // Earlier responses are still owed, so an interim response has no place on the wire yet; it is dropped.
    if (this.connection.isCurrent(this)) this.connection.writer.write(renderInterim(status, fields, ''));
  }

  respond(status: number, fields: readonly string[], content: Uint8Array | null): void {
    if (!this.beginAnswer(status)) return;
    if (this.leavesContentOut(status)) {
      this.sendWhole(this.head(status, fields, status === 204 ? 'none' : 'as-given'), null);
      return;
    }
    const bytes = content === null ? 0 : content.length;
    this.contentBytes = bytes;
    this.sendWhole(this.head(status, fields, bytes), bytes === 0 ? null : content);
  }

  respondShared(status: number, shared: SharedFields, own: SharedFields, content: Uint8Array | null): void {
    if (!this.beginAnswer(status)) return;
    const leavesOut = this.leavesContentOut(status);
    const bytes = leavesOut || content === null ? 0 : content.length;
    const framing = !leavesOut ? bytes : status === 204 ? 'none' : 'as-given';
    this.contentBytes = bytes;
    const head = renderSharedHead(status, shared, own, framing, this.persistence());
    this.sendWhole(this.textOf(head), bytes === 0 ? null : content);
  }

  stream(status: number, fields: readonly string[]): ResponseSink {
    const withoutContent = this.leavesContentOut(status);
    const declaredBytes = declaredLength(fields);
    if (!this.beginAnswer(status)) return GONE_SINK;
    let framing: Framing;
    if (withoutContent) framing = status === 204 ? 'none' : 'as-given';
    else if (declaredBytes !== null) framing = declaredBytes;
    else {
      this.isChunked = this.version !== '1.0';
      this.endsWithConnection = !this.isChunked;
      framing = this.isChunked ? 'chunked' : 'none';
    }
    this.sink = new ContentSink(this, { declaredBytes, isChunked: this.isChunked, withoutContent });
    this.send(this.head(status, fields, framing));
    this.streamsEvents = isEventStream(fields);
    if (this.streamsEvents && this.connection.context.endsStreams) process.nextTick(() => this.endStream());
    return this.sink;
  }

  tunnel(status: number, fields: readonly string[], origin: Duplex, head: Uint8Array): void {
    if (this.upgrade === null || this.answered || this.closed) {
      origin.destroy();
      return;
    }
    this.answered = true;
    const { connection } = this;
    const { socket, context } = connection;
    const early = connection.handOver();
    const before = socket.bytesWritten;
    socket.write(this.switchingHead(status, fields), 'latin1');
    if (head.length > 0) socket.write(head);
    for (const chunk of early) origin.write(chunk);
    connection.endTunnel = joinStreams(socket, origin, context.limits.tunnelMs, () => {
      this.contentBytes = socket.bytesWritten - before;
      this.settle(true);
    });
    if (context.endsStreams) connection.endTunnel();
  }

  abort(): void {
    if (this.end !== null || this.isCut) return;
    if (!this.isAnswered && !this.connection.isCurrent(this)) {
      this.isCut = true;
      this.tellGone();
      this.connection.forgetKept(this);
      return;
    }
    const { socket, context } = this.connection;
    // If the content ends with the connection, only a reset shows that some is missing.
    if (this.endsWithConnection && context.scheme === 'http') socket.resetAndDestroy();
    else socket.destroy();
    this.settle(false);
  }

  /** Responds for the connection while the request is still being received. To its handler, the client has gone. */
  refuse(problem: Problem): void {
    this.content?.fail(new Error('The request could not be received whole.'));
    this.connection.readNoHeads();
    if (this.isAnswered) {
      if (this.end !== null) this.connection.finish();
    } else if (this.answered) {
      this.abort();
    } else if (this.end === null) {
      this.answered = true;
      this.refused = true;
      this.tellGone();
      this.contentBytes = problem.content.length;
      const head = this.head(problem.status, problem.fields, problem.content.length);
      this.sendWhole(head, problem.content);
    }
  }

  /** The connection has closed. */
  connectionClosed(): void {
    // A tunnel ends when its other side has ended as well.
    if (this.connection.endTunnel === null) this.settle(false);
  }

  /** Earlier responses have been given to the connection: this one is next. */
  turnCame(): void {
    if (this.owesContinueInTurn) this.sendContinue();
  }

  /** The connection owes nothing any more. */
  drained(): void {
    this.sink?.drained();
  }

  send(piece: Piece): boolean {
    return this.connection.send(this, piece);
  }

  endResponse(): void {
    this.isAnswered = true;
    this.connection.answered(this);
  }

  /** The kernel has the whole response. */
  written(): void {
    // Later requests can't be answered: this response has no other end.
    if (this.endsWithConnection) this.connection.finish();
    this.settle(true);
  }

  private makeContent(declaredBytes: number | null): RequestBody {
    const { connection } = this;
    const { limits } = connection.context;
    return new RequestBody({
      limitBytes: limits.bodyBytes,
      declaredBytes,
      onFirstRead: () => this.contentWanted(),
      onRoom: () => connection.contentHasRoom(),
      leastBytesPerSecond: limits.bodyBytesPerSecond,
      rateWindowMs: Math.min(limits.bodyGraceMs, limits.requestMs),
    });
  }

  /** False if no response can be sent any more. An invalid or interim status is replaced by 502. */
  private beginAnswer(status: number): boolean {
    if (this.answered || this.closed) return false;
    this.answered = true;
    if (Number.isInteger(status) && status >= 200 && status <= 999) return true;
    this.connection.context.log.warn({ status }, 'a response had no valid status');
    this.refused = true;
    this.tellGone();
    const refused = listenerError('invalid-status');
    this.contentBytes = refused.content.length;
    this.sendWhole(this.head(refused.status, refused.fields, refused.content.length), refused.content);
    return false;
  }

  private leavesContentOut(status: number): boolean {
    return status === 204 || status === 304 || this.method === 'HEAD';
  }

  private sendWhole(head: string, content: Uint8Array | null): void {
    this.connection.sendWhole(this, head, content);
    this.endResponse();
  }

  private head(status: number, fields: Fields, framing: Framing): string {
    return this.textOf(renderHead(status, fields, framing, this.persistence()));
  }

  private textOf({ text, dropped }: RenderedHead): string {
    if (dropped.length > 0) {
      const { log } = this.connection.context;
      log.warn({ fields: dropped }, 'fields that cannot be written were left out of a response');
    }
    return text;
  }

  /** RFC 9112 §9.3: the lines that say whether the connection goes on after this response. */
  private persistence(): string {
    const { connection, content } = this;
    // RFC 9110 §10.1.1: a client that waits for 100 may send the content or not, so no request can follow.
    if (content !== null && (this.owesContinue() || content.remainingBytes > DISCARD_BYTES)) {
      connection.readNoHeads();
    }
    if (connection.context.stopping || this.endsWithConnection) connection.readNoHeads();
    return this.endsWithConnection || connection.closesAfter(this) ? CLOSE : connection.keepAliveLines;
  }

  private contentWanted(): void {
    if (this.connection.isCurrent(this)) this.sendContinue();
    // Earlier responses are still owed: 100 waits for its turn.
    else this.owesContinueInTurn = true;
  }

  private sendContinue(): void {
    if (this.owesContinue() && !this.answered) this.connection.writer.write(CONTINUE);
    this.waitsForContinue = false;
  }

  private owesContinue(): boolean {
    return this.waitsForContinue && this.receiving;
  }

  private switchingHead(status: number, fields: Fields): string {
    const upgrade = hasField(fields, 'upgrade') ? '' : `Upgrade: ${this.upgrade?.join(', ') ?? ''}\r\n`;
    return renderInterim(status, fields, `${upgrade}Connection: Upgrade\r\n`);
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

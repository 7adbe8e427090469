/**
 * One client's HTTP/1.1 connection (RFC 9112): reads requests, keeps the exchanges that are open in their order, writes their
 * responses in that order, and closes so that the client gets the last one.
 */
import type { Socket } from 'node:net';
import { isSafeMethod } from '../../../policies/rfc9111/invalidation.ts';
import type { UnderscoreRule } from '../../../policies/http/field-names.ts';
import { systemClock } from '../../threads/clock.ts';
import { listenerError } from '../error-responses.ts';
import type { ListenerContext } from '../listener-context.ts';
import type { Problem } from '../problem.ts';
import { readRequestHead } from '../request-head.ts';
import { ChunkedDecoder } from './chunked-decoder.ts';
import type { Deadlines, Timed } from './deadlines.ts';
import { H1Exchange, type ExchangeConnection } from './exchange.ts';
import { HeadParser } from './head-parser.ts';
import { malformed, type MessageFault } from './message-fault.ts';
import { renderHead } from './response-head.ts';
import { SocketWriter, type Piece } from './socket-writer.ts';

/** What a connection needs of its listener. */
export interface ConnectionOwner {
  readonly context: ListenerContext;
  readonly underscores: UnderscoreRule;
  readonly deadlines: Deadlines;
  readonly onFieldsDropped: (count: number) => void;
  /** Begins an exchange whose turn it is. Must not throw. */
  begin(exchange: H1Exchange): void;
}

/** Requests that may wait for responses on one connection before it reads further ones. */
const PIPELINED = 256;

/** Response bytes that the connection may owe before it reads further requests. */
const OWED_BYTES = 64 * 1024;

/** What it reads ahead meanwhile, so that the end of the client's side is seen. */
const UNREAD_BYTES = 16 * 1024;

/** How long a client may take to read the last response and to close, while its further bytes are dropped (RFC 9112 §9.6). */
export const LINGER_MS = 5_000;
/** Of the requests and content that are dropped on a connection that closes; beyond it the connection is destroyed. */
const DRAINED_BYTES = 256 * 1024;

/** How long a connection over the limit may take to send its request. */
export const REFUSED_MS = 2_000;

/** How long after `limits.idle`, which the Keep-Alive field states, a request may still arrive. */
const IDLE_RACE_MS = 1_000;

/** When, after the client has ended its side, it is first asked whether it still reads. */
const HALF_CLOSED_MS = 1_000;
/** When it is asked again: a client that has gone shows it only after it was written to. */
const ASKED_AGAIN_MS = 100;

/** Then it is asked less and less often. */
const MOST_ASKED_MS = 20_000;

/** Content before a switch of protocols; with more, the connection is not read. */
const EARLY_BYTES = 64 * 1024;

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** Why the connection is not read; several at a time. */
const BODY_WAITS = 1;
const UNREAD_IS_FULL = 2;
const EARLY_IS_FULL = 4;

type Reading = 'heads' | 'content' | 'early' | 'nothing';

export class H1Connection implements ExchangeConnection, Timed {
  readonly socket: Socket;
  readonly context: ListenerContext;
  readonly remoteAddress: string;
  readonly writer: SocketWriter;
  readonly keepAliveLines: string;
  /** In the order of arrival, nearly always one. */
  open: H1Exchange[] = [];
  closing = false;
  endTunnel: (() => void) | null = null;

  private readonly owner: ConnectionOwner;
  /** Accepted beyond `limits.connections`, only to respond with 503. */
  private readonly overLimit: boolean;
  private readonly parser: HeadParser;
  private reading: Reading = 'heads';
  /** Whose content is being read. */
  private receiving: H1Exchange | null = null;
  /** Null: the content has a length. */
  private decoder: ChunkedDecoder | null = null;
  private contentLeft = 0;
  /** What has been read from the socket and waits until the connection owes less. */
  private unread: Buffer | null = null;
  private paused = 0;
  /** The first exchange whose response is not complete; null: none. */
  private current: H1Exchange | null = null;
  /** Exchanges that wait for earlier responses before they begin. */
  private turns: H1Exchange[] = [];
  private takesTurns = false;
  private problem: Problem | null = null;
  private outboxBytes = 0;
  private early: Buffer[] = [];
  private earlyBytes = 0;
  private clientEnded = false;
  private finishing = false;
  private isRefused = false;
  private drainedBytes = 0;
  private askingTimer: NodeJS.Timeout | null = null;

  /** Monotonic milliseconds; 0: not counted at present. */
  private readonly acceptedMs: number;
  private headSinceMs: number;
  private idleSinceMs = 0;
  private finishingSinceMs = 0;
  private stalledSinceMs = 0;
  private stalledProgress = 0;
  private askedProgress = -1;

  constructor(owner: ConnectionOwner, socket: Socket, overLimit: boolean) {
    this.owner = owner;
    this.socket = socket;
    this.context = owner.context;
    this.overLimit = overLimit;
    this.remoteAddress = socket.remoteAddress ?? '';
    const { limits, scheme } = owner.context;
    this.parser = new HeadParser(limits);
    this.writer = new SocketWriter(socket, scheme === 'https', () => this.drained());
    this.keepAliveLines = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(limits.idleMs / 1_000)}\r\n`;
    this.acceptedMs = owner.deadlines.fromMs;
    this.headSinceMs = this.acceptedMs;
    socket.on('data', this.onData);
    socket.on('end', this.onClientEnd);
    socket.on('error', ignore);
    socket.once('close', () => this.closed());
  }

  /** The local address and port, as an authority. */
  get localAuthority(): string {
    const { localAddress = '', localPort = 0 } = this.socket;
    return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`;
  }

  /** No request is open or being read. */
  get isIdle(): boolean {
    return this.open.length === 0 && this.receiving === null && !this.isReadingHead;
  }

  private get isReadingHead(): boolean {
    return this.reading === 'heads' && this.parser.isWithinHead;
  }

  /** Nothing was received. */
  get isSilent(): boolean {
    return this.socket.bytesRead === 0;
  }

  isCurrent(exchange: H1Exchange): boolean {
    return this.current === exchange;
  }

  closesAfter(exchange: H1Exchange): boolean {
    return this.closing && this.problem === null && this.open.at(-1) === exchange;
  }

  send(exchange: H1Exchange, piece: Piece): boolean {
    if (this.current === exchange && exchange.outbox === null) {
      this.writer.write(piece);
      // What later responses have kept waits for this one.
      return this.writer.owedBytes < OWED_BYTES;
    }
    this.keep(exchange, piece);
    return !this.owesBound;
  }

  sendWhole(exchange: H1Exchange, head: string, content: Uint8Array | null): void {
    if (this.current === exchange && exchange.outbox === null) {
      this.writer.writeNow(head, content);
      return;
    }
    this.keep(exchange, head);
    if (content !== null) this.keep(exchange, content);
  }

  answered(exchange: H1Exchange): void {
    if (this.current !== exchange) return;
    this.writeKept(exchange);
    const next = this.open[this.open.indexOf(exchange) + 1] ?? null;
    this.current = next;
    // Where everything is written already, the exchange ends here. Others may begin, and the next one be answered.
    this.writer.afterAll(exchange);
    if (next === null || this.current !== next) return;
    if (next.isCut) {
      this.writer.afterAll({ written: () => this.finish() });
      return;
    }
    next.turnCame();
    this.writeKept(next);
    if (next.isAnswered) this.answered(next);
  }

  forgetKept(exchange: H1Exchange): void {
    for (const piece of exchange.outbox ?? []) this.outboxBytes -= piece.length;
    exchange.outbox = null;
    this.readNoHeads();
  }

  exchangeEnded(exchange: H1Exchange): void {
    if (this.open[0] === exchange && this.open.length === 1) this.open.pop();
    // A new array: a loop over the old one ends exchanges while it runs.
    else this.open = this.open.filter((other) => other !== exchange);
    if (this.open.length === 0) this.idleSinceMs = this.owner.deadlines.fromMs;
    this.settle();
    this.takeTurns();
    this.owesLess();
  }

  contentHasRoom(): void {
    this.readOn(BODY_WAITS);
  }

  /** RFC 9112 §9.6: no request that comes after a response with `Connection: close` is processed. */
  readNoHeads(): void {
    this.closing = true;
    if (this.reading !== 'heads') return;
    this.reading = 'nothing';
    this.headSinceMs = 0;
  }

  /**
   * Ends the writing side after what is owed, and drops a bounded number of further bytes until the client closes: a reset,
   * for unread bytes of its request, would lose the response (RFC 9112 §9.6).
   */
  finish(): void {
    if (this.finishing || this.endTunnel !== null) return;
    this.stopAsking();
    this.finishing = true;
    this.closing = true;
    this.finishingSinceMs = this.owner.deadlines.fromMs;
    this.reading = 'nothing';
    this.receiving = null;
    this.unread = null;
    this.socket.end();
    this.paused = 0;
    this.socket.resume();
  }

  /** A stop: closes as soon as no exchange is open. */
  finishWhenIdle(): void {
    if (this.isIdle) this.finish();
  }

  handOver(): Buffer[] {
    const { socket } = this;
    socket.off('data', this.onData);
    socket.off('end', this.onClientEnd);
    socket.pause();
    this.stopAsking();
    return this.early;
  }

  checkDeadlines(nowMs: number): void {
    const { limits } = this.context;
    if (this.endTunnel !== null) return;
    if (this.finishing) {
      if (nowMs - this.finishingSinceMs >= LINGER_MS) this.socket.destroy();
      return;
    }
    if (this.checkStall(nowMs)) return;
    if (this.overLimit && nowMs - this.acceptedMs >= REFUSED_MS) this.socket.destroy();
    else if (this.receiving !== null) this.checkContent(this.receiving, nowMs);
    else if (this.headSinceMs !== 0) this.checkHead(nowMs);
    else if (this.open.length === 0 && this.idleSinceMs !== 0) {
      const raceMs = Math.min(IDLE_RACE_MS, limits.idleMs / 4);
      if (nowMs - this.idleSinceMs >= limits.idleMs + raceMs) this.finish();
    }
  }

  private readonly onData = (chunk: Buffer): void => {
    if (this.unread === null) this.read(chunk, 0);
    else this.keepUnread(Buffer.concat([this.unread, chunk]));
  };

  /** RFC 9112 §9.6: a client that has ended its side may still read. */
  private readonly onClientEnd = (): void => {
    this.clientEnded = true;
    if (this.unread === null) this.endedByClient();
    else this.startAsking();
  };

  private endedByClient(): void {
    if (this.finishing) return;
    if (this.receiving !== null || this.isReadingHead) this.fail(CUT_SHORT);
    else if (this.open.length === 0) this.finish();
    else {
      this.closing = true;
      this.reading = 'nothing';
    }
    if (this.open.length > 0) this.startAsking();
  }

  private read(chunk: Buffer, from: number): void {
    let at = from;
    while (at < chunk.length) {
      switch (this.reading) {
        case 'heads':
          if (this.takesNoRequest && !this.parser.isWithinHead) {
            this.keepUnread(at === 0 ? chunk : chunk.subarray(at));
            return;
          }
          at = this.readHead(chunk, at);
          break;
        case 'content':
          at = this.readContent(chunk, at);
          break;
        case 'early':
          this.readEarly(chunk.subarray(at));
          return;
        default:
          this.drop(chunk.length - at);
          return;
      }
    }
  }

  private readHead(chunk: Buffer, from: number): number {
    const { parser } = this;
    const at = parser.read(chunk, from);
    if (parser.fault !== null) this.fail(parser.fault);
    else if (parser.head !== null) this.accept();
    else if (this.headSinceMs === 0 && parser.isWithinHead) this.headSinceMs = this.owner.deadlines.fromMs;
    return at;
  }

  private accept(): void {
    this.headSinceMs = 0;
    const { context, owner } = this;
    if (this.overLimit) {
      this.refuse(listenerError('too-many-connections', { limit: context.limits.connections }));
      return;
    }
    const head = readRequestHead(this.parser.head!, context.scheme, {
      limits: context.limits,
      underscores: owner.underscores,
    });
    if (head.kind === 'refused') {
      this.refuse(head.problem);
      return;
    }
    if (head.dropped > 0) owner.onFieldsDropped(head.dropped);
    // A connection that still owes earlier responses can't be handed over.
    const upgrade = this.open.length === 0 && !this.clientEnded ? head.upgrade : null;
    const exchange = new H1Exchange(this, head, upgrade, systemClock.monotonicMs());
    this.open.push(exchange);
    this.current ??= exchange;
    if (!head.persists || upgrade !== null) this.closing = true;
    if (head.content.kind === 'some') {
      this.reading = 'content';
      this.receiving = exchange;
      this.decoder = head.content.bytes === null ? new ChunkedDecoder(context.limits) : null;
      this.contentLeft = head.content.bytes ?? 0;
    } else if (upgrade !== null) this.reading = 'early';
    else if (this.closing) this.reading = 'nothing';
    if (this.open.length === 1) {
      this.owner.begin(exchange);
      return;
    }
    this.turns.push(exchange);
    this.takeTurns();
  }

  private readContent(chunk: Buffer, from: number): number {
    const exchange = this.receiving!;
    const content = exchange.receivedContent!;
    const { decoder } = this;
    let at: number;
    let isWhole: boolean;
    let piece: Buffer | null = null;
    if (decoder === null) {
      at = Math.min(chunk.length, from + this.contentLeft);
      this.contentLeft -= at - from;
      isWhole = this.contentLeft === 0;
      piece = from === 0 && at === chunk.length ? chunk : chunk.subarray(from, at);
    } else {
      at = decoder.decode(chunk, from);
      isWhole = decoder.done;
      const bytes = decoder.contentTo - decoder.contentFrom;
      if (content.isTooMuch(bytes + decoder.announcedBytes)) {
        const limit = this.context.limits.bodyBytes;
        content.fail(new Error(`The content is larger than ${limit} bytes.`));
        this.failContent(exchange, listenerError('content-too-large', { limit }));
        return chunk.length;
      }
      if (bytes > 0) piece = chunk.subarray(decoder.contentFrom, decoder.contentTo);
      if (decoder.fault !== null) {
        if (piece !== null) content.receive(piece);
        this.fail(decoder.fault);
        return chunk.length;
      }
    }
    const hasRoom = piece === null || content.receive(piece);
    if (isWhole) {
      this.contentRead();
      content.end();
    } else if (!hasRoom) this.readNoMore(BODY_WAITS);
    return at;
  }

  private contentRead(): void {
    this.receiving = null;
    this.decoder = null;
    this.readOn(BODY_WAITS);
    this.reading = this.closing ? 'nothing' : 'heads';
    if (this.open.length > 0) return;
    this.idleSinceMs = this.owner.deadlines.fromMs;
    this.settle();
  }

  private readEarly(chunk: Buffer): void {
    this.early.push(chunk);
    this.earlyBytes += chunk.length;
    if (this.earlyBytes >= EARLY_BYTES) this.readNoMore(EARLY_IS_FULL);
  }

  /** RFC 9112 §9.6: after a response that closes, no request of the connection is processed. */
  private drop(bytes: number): void {
    this.drainedBytes += bytes;
    if (this.drainedBytes > DRAINED_BYTES) this.socket.destroy();
  }

  /** What was read is no message, or comes no more: it is refused, and nothing further is read. */
  private fail({ code, values }: MessageFault): void {
    const problem = listenerError(code, values);
    if (this.receiving === null) this.refuse(problem);
    else this.failContent(this.receiving, problem);
  }

  private failContent(exchange: H1Exchange, problem: Problem): void {
    this.stopReading();
    exchange.refuse(problem);
  }

  /** Refuses a request before there is an exchange, once all earlier ones are answered; then closes. */
  private refuse(problem: Problem): void {
    this.stopReading();
    if (this.closing) return;
    this.closing = true;
    this.problem = problem;
    this.isRefused = true;
    this.settle();
  }

  private stopReading(): void {
    this.headSinceMs = 0;
    this.reading = 'nothing';
    this.receiving = null;
    this.decoder = null;
    this.readOn(BODY_WAITS);
  }

  private settle(): void {
    if (this.open.length > 0 || this.socket.destroyed) return;
    if (this.problem !== null) {
      const { status, fields, content } = this.problem;
      this.problem = null;
      const { text } = renderHead(status, fields, content.length, 'Connection: close\r\n');
      this.writer.writeNow(text, content);
      this.writer.afterAll({ written: () => this.finish() });
    } else if (this.isRefused) return;
    else if (this.closing || this.context.stopping) this.finish();
  }

  private readNoMore(reason: number): void {
    if (this.paused === 0) this.socket.pause();
    this.paused |= reason;
  }

  private readOn(reason: number): void {
    if ((this.paused & reason) === 0) return;
    this.paused &= ~reason;
    if (this.paused === 0) this.socket.resume();
  }

  private keepUnread(unread: Buffer): void {
    this.unread = unread;
    if (unread.length >= UNREAD_BYTES) this.readNoMore(UNREAD_IS_FULL);
  }

  private readUnread(): void {
    const { unread } = this;
    if (unread === null) return;
    this.unread = null;
    this.read(unread, 0);
    if (this.unread !== null) return;
    this.readOn(UNREAD_IS_FULL);
    if (this.clientEnded) this.endedByClient();
  }

  private owesLess(): void {
    // Later: what is read begins exchanges, which may end at once and come here again.
    if (this.unread !== null && !this.takesNoRequest) process.nextTick(() => this.readUnread());
  }

  private get takesNoRequest(): boolean {
    return this.owesBound || this.open.length >= PIPELINED;
  }

  private get owesBound(): boolean {
    return this.writer.owedBytes + this.outboxBytes >= OWED_BYTES;
  }

  /** The kernel has everything that was written. */
  private drained(): void {
    this.owesLess();
    const { current } = this;
    if (this.writer.owedBytes < OWED_BYTES) current?.drained();
    if (this.owesBound) return;
    for (const exchange of this.open) if (exchange !== current) exchange.drained();
  }

  private checkStall(nowMs: number): boolean {
    const { writer } = this;
    if (writer.owedBytes === 0) {
      this.stalledSinceMs = 0;
      return false;
    }
    if (this.stalledSinceMs === 0 || writer.progress !== this.stalledProgress) {
      this.stalledSinceMs = nowMs;
      this.stalledProgress = writer.progress;
      return false;
    }
    if (nowMs - this.stalledSinceMs < this.context.limits.idleMs) return false;
    this.context.onTooSlow('answer');
    this.socket.destroy();
    return true;
  }

  private checkContent(exchange: H1Exchange, nowMs: number): void {
    const { limits } = this.context;
    if (limits.totalMs !== null && nowMs - exchange.startedAt >= limits.totalMs) {
      this.context.onTooSlow('total');
      this.failContent(exchange, listenerError('head-timeout', { limit: limits.totalMs }));
    } else if (exchange.receivedContent!.isTooSlow(nowMs)) {
      this.context.onTooSlow('content');
      const limit = Math.max(1, limits.bodyBytesPerSecond);
      this.failContent(exchange, listenerError('content-timeout', { limit }));
    }
  }

  private checkHead(nowMs: number): void {
    const { requestMs, totalMs } = this.context.limits;
    const mostMs = Math.min(requestMs, totalMs ?? requestMs);
    if (nowMs - this.headSinceMs < mostMs) return;
    if (this.isSilent) {
      // There is nothing to respond to.
      this.socket.destroy();
      return;
    }
    this.context.onTooSlow('head');
    this.refuse(listenerError('head-timeout', { limit: mostMs }));
  }

  private startAsking(): void {
    this.stopAsking();
    this.askedProgress = this.writer.progress;
    this.askLater(HALF_CLOSED_MS);
  }

  private askLater(afterMs: number): void {
    this.askingTimer = setTimeout(() => this.askClient(afterMs), afterMs).unref();
  }

  /**
   * Finds out whether a client that has ended its side still reads. One that has closed answers what it is sent with a reset:
   * a second 100 fails then (RFC 9110 §15.2: a client can parse any number of them). Within a response nothing can be sent but
   * the response itself, so a client that has got nothing since the last check counts as gone.
   */
  private askClient(afterMs: number): void {
    const exchange = this.current;
    if (exchange === null) return;
    const { progress, owedBytes } = this.writer;
    if (exchange.hasBegun && owedBytes === 0 && progress === this.askedProgress) {
      this.socket.destroy();
      return;
    }
    this.askedProgress = progress;
    if (exchange.hasBegun) {
      this.askLater(HALF_CLOSED_MS);
      return;
    }
    if (exchange.version === '1.1') this.writer.write(CONTINUE);
    this.askLater(afterMs === HALF_CLOSED_MS ? ASKED_AGAIN_MS : Math.min(MOST_ASKED_MS, 20 * afterMs));
  }

  private stopAsking(): void {
    if (this.askingTimer !== null) clearTimeout(this.askingTimer);
    this.askingTimer = null;
  }

  private closed(): void {
    this.stopAsking();
    this.turns = [];
    this.unread = null;
    for (const exchange of this.open) exchange.connectionClosed();
  }

  private keep(exchange: H1Exchange, piece: Piece): void {
    (exchange.outbox ??= []).push(piece);
    this.outboxBytes += piece.length;
  }

  /** Writes what the exchange has kept while earlier responses were owed. */
  private writeKept(exchange: H1Exchange): void {
    const { outbox } = exchange;
    if (outbox === null) return;
    exchange.outbox = null;
    for (const piece of outbox) {
      this.outboxBytes -= piece.length;
      this.writer.write(piece);
    }
  }

  private takeTurns(): void {
    if (this.takesTurns) return;
    this.takesTurns = true;
    while (
      this.turns.length > 0 &&
      !this.finishing &&
      !this.socket.destroyed &&
      this.hasTurn(this.turns[0]!)
    ) {
      this.owner.begin(this.turns.shift()!);
    }
    this.takesTurns = false;
  }

  /** RFC 9112 §9.3.2: a request begins if it and all before it are safe, else when those are answered. */
  private hasTurn(exchange: H1Exchange): boolean {
    let isFirst = true;
    for (const open of this.open) {
      if (open === exchange) return isFirst || isSafeMethod(open.method);
      if (!isSafeMethod(open.method)) return false;
      isFirst = false;
    }
    return false;
  }
}

const CUT_SHORT = malformed('The connection ended before the message did.');

/** The close that follows ends the exchanges. */
function ignore(): void {}

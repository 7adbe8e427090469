/** One client's connection: the exchanges open on it, and a close that does not cost the client the last response. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { isSafeMethod } from '../../policies/rfc9111/invalidation.ts';
import type { Problem } from './problem.ts';

/** How long a client may take to read the last response while its further bytes are dropped (RFC 9112 §9.6). */
const LINGER_MS = 5_000;

/** After the last response, so many requests are dropped before the connection is destroyed. */
const DROPPED = 1_000;

const CONNECTION = Symbol('weir.connection');
type MarkedSocket = Socket & { [CONNECTION]?: Connection };

/** An exchange as its connection uses it. */
export interface OpenExchange {
  readonly method: string;
  readonly receiving: boolean;
  /** The response has no end, and its client reconnects when it is cut. */
  readonly isEventStream: boolean;
  endStream(): void;
  refuse(problem: Problem): void;
  connectionClosed(): void;
  /** The socket accepts bytes again. */
  drained(): void;
}

export class Connection {
  readonly socket: Socket;
  readonly remoteAddress: string;
  /** Accepted beyond `limits.connections`, only to respond with 503. */
  readonly overLimit: boolean;
  /**
   * In the order of arrival, nearly always one. An array: V8 allocates a new table each time a Set becomes empty, which is
   * once a request.
   */
  open: OpenExchange[] = [];
  /** Further requests are not answered: the last response said `Connection: close`. */
  closing = false;
  /** The parser has failed: what follows can't be read as requests. */
  broken = false;
  /** Ends the tunnel that the connection has become; null: it is not a tunnel. */
  endTunnel: (() => void) | null = null;
  /** Exchanges that wait for earlier responses, and what begins them. */
  private readonly turns: { readonly exchange: OpenExchange; begin(): void }[] = [];
  private newest: OpenExchange | null = null;
  private problem: Problem | null = null;
  private lastAnswerGiven = false;
  private dropped = 0;
  private closeWhenAnswered = false;

  constructor(socket: Socket, overLimit: boolean) {
    this.socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.overLimit = overLimit;
    (socket as MarkedSocket)[CONNECTION] = this;
    // Of several pipelined responses, Node emits `close` on the first alone.
    socket.once('close', () => {
      this.turns.length = 0;
      for (const exchange of this.open) exchange.connectionClosed();
    });
  }

  static of(socket: Socket): Connection | undefined {
    return (socket as MarkedSocket)[CONNECTION];
  }

  /** The local address and port, as an authority. */
  get localAuthority(): string {
    const { localAddress = '', localPort = 0 } = this.socket;
    return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`;
  }

  exchangeBegan(exchange: OpenExchange): void {
    this.open.push(exchange);
    this.newest = exchange;
  }

  /** RFC 9112 §9.3.2: begins at once if this request and all before it are safe, else when those are answered. */
  inTurn(exchange: OpenExchange, begin: () => void): void {
    if (this.turns.length === 0 && this.open[0] === exchange && !this.socket.destroyed) {
      begin();
      return;
    }
    this.turns.push({ exchange, begin });
    this.takeTurns();
  }

  /** Whether the exchange's response is the last on this connection, and so must say `Connection: close`. */
  closesAfter(exchange: OpenExchange): boolean {
    return this.closing && !this.lastAnswerGiven && this.newest === exchange;
  }

  /** Accepts no more requests. An error response that closes the connection follows the responses of the open exchanges. */
  closeWithError(): void {
    this.lastAnswerGiven = true;
    this.linger();
  }

  /** Drops a request that arrived after the last response. Each costs memory until the connection is closed. */
  drop(): void {
    this.dropped += 1;
    if (this.dropped > DROPPED) this.socket.destroy();
  }

  /** Refuses a message that could not be read, once all earlier requests are answered; then closes. */
  refuseUnread(problem: Problem): void {
    this.closeWithError();
    this.problem = problem;
    this.settle();
  }

  /** Closes as soon as no exchange is open. */
  closeOnceAnswered(): void {
    this.closeWhenAnswered = true;
    this.settle();
  }

  exchangeEnded(exchange: OpenExchange): void {
    if (this.open[0] === exchange && this.open.length === 1) this.open.pop();
    // A new array: a loop over the old one ends exchanges while it runs.
    else this.open = this.open.filter((other) => other !== exchange);
    this.settle();
    this.takeTurns();
  }

  /** From now on a close waits for the client to read: a reset, for unread bytes of its request, would lose the response. */
  linger(): void {
    this.closing = true;
    const { socket } = this;
    socket.destroySoon = () => {
      socket.end();
      const timer = setTimeout(() => socket.destroy(), LINGER_MS);
      socket.once('close', () => clearTimeout(timer));
    };
  }

  private hasTurn(exchange: OpenExchange): boolean {
    let isFirst = true;
    for (const open of this.open) {
      if (open === exchange) return isFirst || isSafeMethod(open.method);
      if (!isSafeMethod(open.method)) return false;
      isFirst = false;
    }
    return false;
  }

  private takeTurns(): void {
    while (this.turns.length > 0 && !this.socket.destroyed && this.hasTurn(this.turns[0]!.exchange)) {
      this.turns.shift()!.begin();
    }
  }

  private settle(): void {
    if (this.open.length > 0 || this.socket.destroyed) return;
    if (this.problem !== null) {
      const { problem } = this;
      this.problem = null;
      if (this.socket.writable) this.socket.write(serialise(problem));
      this.socket.destroySoon();
    } else if (this.closeWhenAnswered && this.endTunnel === null) {
      this.closeWhenAnswered = false;
      this.socket.destroySoon();
    }
  }
}

function serialise({ status, fields, content }: Problem): Uint8Array {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  head += `Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), content]);
}

/**
 * One client's connection: which exchanges are open on it, and how it is closed so that the client still reads what was
 * said last.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { isSafeMethod } from '../../policies/rfc9111/invalidation.ts';
import type { Problem } from './problem.ts';

/** How long a client may take to read the last answer while what it still sends is dropped (RFC 9112 §9.6). */
const LINGER_MS = 5_000;

/** Requests after the last one answered that are dropped before the connection is closed without ado. */
const DROPPED = 1_000;

const CONNECTION = Symbol('weir.connection');
type MarkedSocket = Socket & { [CONNECTION]?: Connection };

/** What a connection needs to know of an exchange that is open on it. */
export interface OpenExchange {
  readonly method: string;
  readonly receiving: boolean;
  /** Its content goes on without an end, and its client connects anew. */
  readonly isEventStream: boolean;
  endStream(): void;
  refuse(refusal: Problem): void;
  connectionClosed(): void;
  /** The connection has room again. */
  drained(): void;
}

export class Connection {
  readonly socket: Socket;
  readonly remoteAddress: string;
  /** Accepted although `limits.connections` was reached, to be told so. */
  readonly overLimit: boolean;
  /**
   * In the order in which they came. Nearly always one: a Set would have V8 make it a new table each time that it becomes
   * empty, once a request.
   */
  open: OpenExchange[] = [];
  /** Requests that follow are not answered: the last answer said `Connection: close`. */
  closing = false;
  /** The bytes no longer follow HTTP as the parser reads it. */
  broken = false;
  /** Ends the tunnel that the connection has become; null: it is none. */
  endTunnel: (() => void) | null = null;
  /** Exchanges whose turn has not come, and what begins them. */
  private readonly turns: { readonly exchange: OpenExchange; begin(): void }[] = [];
  private newest: OpenExchange | null = null;
  private refusal: Problem | null = null;
  private lastAnswerGiven = false;
  private dropped = 0;
  private closeWhenAnswered = false;

  constructor(socket: Socket, overLimit: boolean) {
    this.socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.overLimit = overLimit;
    (socket as MarkedSocket)[CONNECTION] = this;
    // Node tells the first of several exchanges alone.
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

  /** RFC 9112 §9.3.2: at once where it and all those before it are safe, else when they are answered. */
  inTurn(exchange: OpenExchange, begin: () => void): void {
    if (this.turns.length === 0 && this.open[0] === exchange && !this.socket.destroyed) {
      begin();
      return;
    }
    this.turns.push({ exchange, begin });
    this.takeTurns();
  }

  /** Whether the exchange's answer is the last on this connection, and so must say `Connection: close`. */
  closesAfter(exchange: OpenExchange): boolean {
    return this.closing && !this.lastAnswerGiven && this.newest === exchange;
  }

  /** Takes no more requests: a refusal, which closes, stands behind the answers of those that are open. */
  closeByRefusal(): void {
    this.lastAnswerGiven = true;
    this.linger();
  }

  /** A request that came although no more are taken. They cost memory until the connection is closed. */
  drop(): void {
    this.dropped += 1;
    if (this.dropped > DROPPED) this.socket.destroy();
  }

  /** Answers, when all that came before is answered, a message that could not be read; then closes. */
  refuseUnread(refusal: Problem): void {
    this.closeByRefusal();
    this.refusal = refusal;
    this.settle();
  }

  /** Closes as soon as no exchange is open. */
  closeOnceAnswered(): void {
    this.closeWhenAnswered = true;
    this.settle();
  }

  exchangeEnded(exchange: OpenExchange): void {
    if (this.open[0] === exchange && this.open.length === 1) this.open.pop();
    // Whoever ends them one by one goes on in the array that it began with.
    else this.open = this.open.filter((other) => other !== exchange);
    this.settle();
    this.takeTurns();
  }

  /** From here on, closing waits for the client to read: there may be bytes of its request on the way. */
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
    if (this.refusal !== null) {
      const { refusal } = this;
      this.refusal = null;
      if (this.socket.writable) this.socket.write(serialise(refusal));
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

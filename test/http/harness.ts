/** A real listener on a free port, and raw sockets that send it bytes. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { ListenLimits } from '../../policies/config/config.ts';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { startListener } from '../../proxy/http/listener.ts';
import type { Listener, ListenerOptions } from '../../proxy/http/listener.ts';

export const LIMITS: ListenLimits = {
  urlBytes: 1_024,
  headersBytes: 4_096,
  headerCount: 20,
  bodyBytes: 100_000,
  requestMs: 20_000,
  bodyBytesPerSecond: 1_024,
  bodyGraceMs: 10_000,
  totalMs: null,
  idleMs: 20_000,
  tunnelMs: 20_000,
  connections: 1_000,
};

export interface TestListener extends Listener, AsyncDisposable {
  readonly exchanges: readonly Exchange[];
  /** The number of open connections. */
  readonly connections: () => number;
  readonly logged: readonly string[];
  readonly droppedFields: () => number;
  /** The parts that were cut because they were too slow. */
  readonly tooSlow: readonly string[];
  /** Resolves with the exchange of this number, counted from 0, once it has begun. */
  exchange(number: number): Promise<Exchange>;
}

export interface TestListenerOptions {
  readonly limits?: Partial<ListenLimits>;
  readonly underscores?: ListenerOptions['underscores'];
  readonly tls?: ListenerOptions['tls'];
  readonly onExchange?: (exchange: Exchange) => void;
}

/** Without `onExchange` each exchange is stored, and the test answers it. */
export async function listen(options: TestListenerOptions = {}): Promise<TestListener> {
  const exchanges: Exchange[] = [];
  const logged: string[] = [];
  const waiting: (() => void)[] = [];
  let connections = 0;
  let droppedFields = 0;
  const tooSlow: string[] = [];
  const result = await startListener({
    host: '127.0.0.1',
    port: 0,
    reusePort: false,
    limits: { ...LIMITS, ...options.limits },
    underscores: options.underscores ?? 'drop',
    onFieldsDropped: (count) => (droppedFields += count),
    onTooSlow: (part) => tooSlow.push(part),
    tls: options.tls ?? null,
    onExchange: (exchange) => {
      exchanges.push(exchange);
      options.onExchange?.(exchange);
      for (const wake of waiting.splice(0)) wake();
    },
    connectionsInUse: {
      add: (change) => (connections += change),
    },
    log: { warn: (_, message) => logged.push(message), error: (_, message) => logged.push(message) },
  });
  if (result.kind === 'failed') throw new Error(result.message);
  return {
    ...result,
    exchanges,
    logged,
    droppedFields: () => droppedFields,
    tooSlow,
    connections: () => connections,
    exchange: async (number) => {
      while (exchanges.length <= number) await new Promise<void>((wake) => waiting.push(wake));
      return exchanges[number]!;
    },
    [Symbol.asyncDispose]: () => result.end(),
  };
}

export function answerOk(exchange: Exchange): void {
  exchange.respond(200, ['Content-Type', 'text/plain'], Buffer.from('ok'));
}

export class RawClient {
  readonly socket: Socket;
  received = '';
  readonly closed: Promise<unknown>;
  private wake: () => void = () => {};

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
      this.wake();
    });
    this.socket.on('end', () => this.socket.end());
    this.socket.on('error', () => {});
    this.closed = once(this.socket, 'close').catch(() => {});
    void this.closed.then(() => this.wake());
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** Everything received so far, once it contains `text`; rejects if the connection is closed before. */
  async until(text: string): Promise<string> {
    while (!this.received.includes(text)) {
      if (this.socket.destroyed) throw new Error(`closed after ${JSON.stringify(this.received)}`);
      await new Promise<void>((wake) => {
        this.wake = wake;
      });
    }
    return this.received;
  }

  /** Everything received until the server closed. */
  async untilClosed(): Promise<string> {
    await this.closed;
    return this.received;
  }

  leave(): void {
    this.socket.destroy();
  }
}

/** Sends the bytes on a new connection and returns everything received until the server closed. */
export async function talk(port: number, bytes: string | Buffer): Promise<string> {
  return new RawClient(port).send(bytes).untilClosed();
}

export function statuses(received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

/**
 * The listener: accepts connections on one port, enforces `listen.limits`, and passes each request on as an exchange. An
 * ambiguous request gets a problem document, and its connection is closed.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { ListenConfig, ListenLimits } from '../../policies/config/config.ts';
import { listenerError } from './error-responses.ts';
import type { Exchange } from './exchange.ts';
import { H1Connection, LINGER_MS, REFUSED_MS, type ConnectionOwner } from './h1/connection.ts';
import { Deadlines } from './h1/deadlines.ts';
import type { H1Exchange } from './h1/exchange.ts';
import type { ListenerContext, ListenerLog, SlowPart } from './listener-context.ts';

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly reusePort: boolean;
  readonly limits: ListenLimits;
  readonly underscores: ListenConfig['underscores'];
  /** Called with how many fields of a request `underscores` has left out. */
  readonly onFieldsDropped: (count: number) => void;
  /** Called when a request is cut because it was too slow. */
  readonly onTooSlow: (part: SlowPart) => void;
  readonly tls: ListenConfig['tls'];
  /** Must not throw: an error is logged, and the response is 500. */
  readonly onExchange: (exchange: Exchange) => void;
  /** The connections of all workers. */
  readonly connectionsInUse: ConnectionCounter;
  readonly log: ListenerLog;
}

export interface ConnectionCounter {
  /** Adds to the number of connections and returns what it is now. */
  add(change: number): number;
}

export type ListenResult =
  | ({ readonly kind: 'listening' } & Listener)
  | {
      readonly kind: 'failed';
      /** The system's, such as `EADDRINUSE`. */
      readonly code: string;
      readonly message: string;
    };

export interface Listener {
  readonly port: number;
  underWay(): ExchangesUnderWay;
  /**
   * Accepts no more connections. Open requests may finish within `graceMs`, event streams and tunnels within `streamsMs`.
   * Resolves, when everything is closed, with the number of exchanges that were cut.
   */
  stop(graceMs: number, streamsMs?: number): Promise<number>;
  /** Closes everything at once. */
  end(): Promise<void>;
}

/** The exchanges that a stop waits for. */
export interface ExchangesUnderWay {
  readonly requests: number;
  readonly eventStreams: number;
  readonly tunnels: number;
}

/** Connections beyond the limit that are accepted to be answered with 503; further ones are closed without a response. */
const REFUSED_AT_ONCE = 64;
/** Idle time before TCP probes whether the peer is still there. */
const KEEP_ALIVE_MS = 60_000;
/** After a stop, how long a request that was sent before the client knew may take to arrive on an idle connection. */
const STOP_RACE_MS = 100;

export async function startListener(options: ListenerOptions): Promise<ListenResult> {
  let server: Server;
  try {
    server = await createSocketServer(options);
  } catch (error) {
    return failed(error);
  }
  const service = new ListenerService(server, options);
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(failed(error)));
    server.listen({ host: options.host, port: options.port, reusePort: options.reusePort }, () => {
      server.removeAllListeners('error');
      server.on('error', (error) => options.log.error({ err: error }, 'the listener failed'));
      resolve({
        kind: 'listening',
        port: (server.address() as AddressInfo).port,
        underWay: () => service.underWay(),
        stop: (graceMs, streamsMs = 0) => service.stop(graceMs, streamsMs),
        end: async () => {
          await service.stop(0, 0);
        },
      });
    });
  });
}

async function createSocketServer({ limits, tls }: ListenerOptions): Promise<Server> {
  const sockets = {
    // A client that has ended its side may still read (RFC 9112 §9.6).
    allowHalfOpen: true,
    noDelay: true,
    // Detects a vanished peer on connections that are silent for long: event streams, tunnels.
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  };
  if (tls === null) return createServer(sockets);
  const [cert, key] = await Promise.all([readFile(tls.certFile), readFile(tls.keyFile)]);
  const handshakeTimeout = limits.requestMs;
  const server = createTlsServer({ ...sockets, cert, key, handshakeTimeout, ALPNProtocols: ['http/1.1'] });
  // Node.js reports a handshake that failed or took too long, and leaves its socket open.
  return server.on('tlsClientError', (_, socket) => socket.destroy());
}

function failed(error: unknown): ListenResult {
  const { code = 'ERR_LISTEN', message = String(error) } = error as NodeJS.ErrnoException;
  return { kind: 'failed', code, message };
}

class ListenerService implements ConnectionOwner {
  readonly context: ListenerContext;
  readonly underscores: ListenConfig['underscores'];
  readonly deadlines: Deadlines;
  readonly onFieldsDropped: (count: number) => void;
  private readonly server: Server;
  private readonly options: ListenerOptions;
  /** All accepted sockets. With TLS, a connection is made only after the handshake. */
  private readonly sockets = new Set<Socket>();
  private readonly connections = new Set<H1Connection>();
  /** The server and every socket are closed. */
  private readonly closed = Promise.withResolvers<void>();
  private serverClosed = false;

  constructor(server: Server, options: ListenerOptions) {
    this.server = server;
    this.options = options;
    this.underscores = options.underscores;
    this.onFieldsDropped = options.onFieldsDropped;
    this.deadlines = new Deadlines(shortestMs(options.limits));
    this.context = {
      scheme: options.tls === null ? 'http' : 'https',
      limits: options.limits,
      log: options.log,
      stopping: false,
      endsStreams: false,
      onTooSlow: options.onTooSlow,
    };
    server.once('close', () => {
      this.serverClosed = true;
      this.noteClosed();
    });
    server.on('connection', (socket: Socket) => this.count(socket));
    server.on(options.tls === null ? 'connection' : 'secureConnection', (socket: Socket) =>
      this.accept(socket),
    );
  }

  underWay(): ExchangesUnderWay {
    let requests = 0;
    let eventStreams = 0;
    let tunnels = 0;
    for (const { open, endTunnel } of this.connections) {
      if (endTunnel !== null) {
        tunnels += 1;
        continue;
      }
      for (const { isEventStream } of open) {
        if (isEventStream) eventStreams += 1;
        else requests += 1;
      }
    }
    return { requests, eventStreams, tunnels };
  }

  async stop(graceMs: number, streamsMs: number): Promise<number> {
    this.context.stopping = true;
    this.server.close();
    for (const connection of this.connections) {
      if (connection.isIdle && connection.isSilent) connection.socket.destroy();
    }
    const expired = Promise.withResolvers<void>();
    const timers = [
      setTimeout(expired.resolve, graceMs),
      setTimeout(() => this.finishIdle(), Math.min(STOP_RACE_MS, graceMs)),
    ];
    if (streamsMs > 0) timers.push(setTimeout(() => this.endStreams(), streamsMs));
    else this.endStreams();
    await Promise.race([this.closed.promise, expired.promise]);
    for (const timer of timers) clearTimeout(timer);
    let cut = 0;
    for (const connection of this.connections) {
      if (connection.socket.destroyed) continue;
      if (connection.endTunnel === null) cut += connection.open.length;
      connection.socket.destroy();
    }
    for (const socket of this.sockets) socket.destroy();
    await this.closed.promise;
    this.deadlines.end();
    return cut;
  }

  begin(exchange: H1Exchange): void {
    // It was refused before its turn, because it could not be received whole.
    if (exchange.closed) return;
    try {
      this.options.onExchange(exchange);
    } catch (error) {
      this.context.log.error({ err: error }, 'a request failed unexpectedly');
      exchange.refuse(listenerError('internal-error'));
    }
  }

  private finishIdle(): void {
    for (const connection of this.connections) connection.finishWhenIdle();
  }

  private endStreams(): void {
    this.context.endsStreams = true;
    for (const { open, endTunnel } of this.connections) {
      if (endTunnel !== null) endTunnel();
      else for (const exchange of open) if (exchange.isEventStream) exchange.endStream();
    }
  }

  private count(socket: Socket): void {
    const { connectionsInUse, limits } = this.options;
    const inUse = connectionsInUse.add(1);
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      connectionsInUse.add(-1);
      this.noteClosed();
    });
    if (inUse > limits.connections + REFUSED_AT_ONCE) socket.destroy();
  }

  private noteClosed(): void {
    if (this.serverClosed && this.sockets.size === 0) this.closed.resolve();
  }

  private accept(socket: Socket): void {
    const { connectionsInUse, limits } = this.options;
    if (socket.destroyed) return;
    const overLimit = connectionsInUse.add(0) > limits.connections;
    const connection = new H1Connection(this, socket, overLimit);
    this.connections.add(connection);
    this.deadlines.add(connection);
    socket.once('close', () => {
      this.connections.delete(connection);
      this.deadlines.delete(connection);
    });
    // Its handshake was under way when the stop began.
    if (this.context.stopping) setTimeout(() => connection.finishWhenIdle(), STOP_RACE_MS).unref();
  }
}

/** The shortest deadline of a connection, in milliseconds. */
function shortestMs(limits: ListenLimits): number {
  const { requestMs, idleMs, bodyGraceMs, totalMs } = limits;
  return Math.min(requestMs, idleMs, bodyGraceMs, totalMs ?? requestMs, LINGER_MS, REFUSED_MS);
}

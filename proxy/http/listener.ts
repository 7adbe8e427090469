/**
 * The listener: accepts connections on one port, enforces `listen.limits`, and passes each request on as an exchange. An
 * ambiguous request gets a problem document, and its connection is closed.
 */
import { readFile } from 'node:fs/promises';
import { createServer, ServerResponse } from 'node:http';
import type { IncomingMessage, Server, ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ListenConfig, ListenLimits } from '../../policies/config/config.ts';
import { decideUpgrade } from '../../policies/http/upgrade.ts';
import { Connection } from './connection.ts';
import type { Exchange } from './exchange.ts';
import { NodeExchange } from './node-exchange.ts';
import type { ListenerContext, ListenerLog, SlowPart, UpgradeRequest } from './node-exchange.ts';
import { listenerError } from './error-responses.ts';
import type { Problem } from './problem.ts';
import { readRequestHead } from './request-head.ts';
import { errorOfParser, TIMED_OUT } from './unreadable.ts';

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
/** How long such a connection may take to send its request. */
const REFUSED_MS = 2_000;
/** Idle time before TCP probes whether the peer is still there. */
const KEEP_ALIVE_MS = 60_000;
/** Requests that may wait for responses on one connection; the next one is refused and closes the connection. */
const PIPELINED = 256;

export async function startListener(options: ListenerOptions): Promise<ListenResult> {
  let server: Server;
  try {
    server = await createHttpServer(options);
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

async function createHttpServer({ limits, tls }: ListenerOptions): Promise<Server> {
  const http: ServerOptions = {
    // Larger than our limits, so that our checks refuse first and tell 414 from 431.
    maxHeaderSize: limits.urlBytes + limits.headersBytes + 16 * 1024,
    httpValidation: 'strict',
    // `readRequestHead` checks Host, and refuses with a problem document.
    requireHostHeader: false,
    // Content has no total time by default: `RequestBody` demands a least rate.
    requestTimeout: limits.totalMs ?? 0,
    headersTimeout: limits.requestMs,
    // How often Node checks the timeouts: an eighth of the shortest, so that they stay near their value.
    connectionsCheckingInterval: Math.ceil(
      Math.min(1_000, Math.max(20, Math.min(limits.requestMs, limits.totalMs ?? limits.requestMs) / 8)),
    ),
    keepAliveTimeout: limits.idleMs,
    keepAliveTimeoutBuffer: Math.ceil(Math.min(1_000, limits.idleMs / 4)),
    // Detects a vanished peer on connections that are silent for long: event streams, tunnels.
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    optimizeEmptyRequests: true,
    shouldUpgradeCallback: mayUpgrade,
  };
  if (tls === null) return createServer(http);
  const [cert, key] = await Promise.all([readFile(tls.certFile), readFile(tls.keyFile)]);
  return createTlsServer({ ...http, cert, key });
}

/**
 * Only a GET without content may switch protocols: nothing after it on the connection is HTTP. Upgrade is ignored in other
 * requests (RFC 9110 §7.8), and where it names only other versions of HTTP, or TLS.
 */
function mayUpgrade({ method, httpVersionMinor, headers, socket }: IncomingMessage): boolean {
  if (method !== 'GET' || httpVersionMinor === 0) return false;
  // A connection that still owes earlier responses can't be handed over.
  const connection = Connection.of(socket);
  if (connection === undefined || connection.closing || connection.open.length > 0) return false;
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return false;
  return headers.upgrade !== undefined && decideUpgrade(['upgrade', headers.upgrade]) !== null;
}

function failed(error: unknown): ListenResult {
  const { code = 'ERR_LISTEN', message = String(error) } = error as NodeJS.ErrnoException;
  return { kind: 'failed', code, message };
}

class ListenerService {
  private readonly server: Server;
  private readonly options: ListenerOptions;
  private readonly context: ListenerContext;
  /** All accepted sockets. With TLS, a `Connection` is made only after the handshake. */
  private readonly sockets = new Set<Socket>();
  private readonly connections = new Set<Connection>();
  private readonly closed: Promise<void>;

  constructor(server: Server, options: ListenerOptions) {
    this.server = server;
    this.options = options;
    this.context = {
      scheme: options.tls === null ? 'http' : 'https',
      limits: options.limits,
      log: options.log,
      stopping: false,
      endsStreams: false,
      onTooSlow: options.onTooSlow,
    };
    this.closed = new Promise((resolve) => server.once('close', () => resolve()));
    // 0: the parser drops no field; `readRequestHead` checks their number.
    server.maxHeadersCount = 0;
    server.on('connection', (socket: Socket) => this.count(socket));
    server.on(options.tls === null ? 'connection' : 'secureConnection', (socket: Socket) =>
      this.accept(socket),
    );
    const onRequest = (request: IncomingMessage, response: ServerResponse) =>
      this.receive(request, response, null);
    server.on('request', onRequest);
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('upgrade', (request, socket, head) => this.receiveUpgrade(request, socket as Socket, head));
    server.on('connect', (request, socket) => this.receiveConnect(request, socket as Socket));
    server.on('clientError', (error: Error, socket: Duplex) => this.onUnreadable(error, socket as Socket));
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
    for (const { open, socket } of this.connections) {
      if (open.length === 0 && socket.bytesRead === 0) socket.destroy();
    }
    const expired = Promise.withResolvers<void>();
    const timer = setTimeout(expired.resolve, graceMs);
    const streamsTimer = streamsMs > 0 ? setTimeout(() => this.endStreams(), streamsMs) : null;
    if (streamsTimer === null) this.endStreams();
    await Promise.race([this.closed, expired.promise]);
    clearTimeout(timer);
    if (streamsTimer !== null) clearTimeout(streamsTimer);
    let cut = 0;
    for (const connection of this.connections) {
      if (connection.socket.destroyed) continue;
      if (connection.endTunnel === null) cut += connection.open.length;
      connection.socket.destroy();
    }
    for (const socket of this.sockets) socket.destroy();
    await this.closed;
    return cut;
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
    });
    if (inUse > limits.connections + REFUSED_AT_ONCE) socket.destroy();
  }

  private accept(socket: Socket): void {
    const { connectionsInUse, limits } = this.options;
    const overLimit = connectionsInUse.add(0) > limits.connections;
    const connection = new Connection(socket, overLimit);
    this.connections.add(connection);
    socket.once('close', () => this.connections.delete(connection));
    if (overLimit) socket.setTimeout(REFUSED_MS);
  }

  private receive(request: IncomingMessage, response: ServerResponse, upgrade: UpgradeRequest | null): void {
    const connection = Connection.of(request.socket);
    if (connection === undefined) return;
    // RFC 9112 §9.6: after a response that closes, no request of the connection is processed.
    if (connection.closing) {
      connection.drop();
      return;
    }
    const { limits, scheme } = this.context;
    if (connection.overLimit) {
      refuse(connection, response, listenerError('too-many-connections', { limit: limits.connections }));
      return;
    }
    if (connection.open.length >= PIPELINED) {
      refuse(connection, response, listenerError('too-many-requests', { limit: PIPELINED }));
      return;
    }
    const head = readRequestHead(request, scheme, this.options);
    if (head.kind === 'refused') {
      refuse(connection, response, head.problem);
      return;
    }
    if (head.dropped > 0) this.options.onFieldsDropped(head.dropped);
    const exchange = new NodeExchange(this.context, connection, head, request, response, upgrade);
    connection.inTurn(exchange, () => this.begin(exchange));
  }

  private begin(exchange: NodeExchange): void {
    // It was refused before its turn, because it could not be received whole.
    if (exchange.closed) return;
    try {
      this.options.onExchange(exchange);
    } catch (error) {
      this.context.log.error({ err: error }, 'a request failed unexpectedly');
      exchange.refuse(listenerError('internal-error'));
    }
  }

  private receiveUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    takeOver(socket);
    const protocols = decideUpgrade(request.rawHeaders) ?? [];
    this.receive(request, responseOf(request, socket), { protocols, head });
  }

  /** Node hands the socket over even if earlier responses are still owed on it. */
  private receiveConnect(request: IncomingMessage, socket: Socket): void {
    takeOver(socket);
    const connection = Connection.of(socket);
    if (connection === undefined || connection.closing) return;
    const refused = listenerError('connect');
    if (connection.open.length === 0) {
      refuse(connection, responseOf(request, socket), refused);
      return;
    }
    socket.on('drain', () => {
      for (const exchange of connection.open) exchange.drained();
    });
    connection.refuseUnread(refused);
  }

  /** The parser failed, or a timeout passed. Earlier responses are sent whole; then the connection closes. */
  private onUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
    const connection = Connection.of(socket);
    if (connection === undefined || socket.destroyed || error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    if (connection.broken) return;
    connection.broken = true;
    const refused = errorOfParser(error, this.options.limits);
    for (const exchange of connection.open) {
      if (!exchange.receiving) continue;
      if (error.code === TIMED_OUT) this.options.onTooSlow('total');
      exchange.refuse(refused);
      return;
    }
    if (connection.closing) return;
    // Nothing was sent on this connection, so there is nothing to respond to.
    if (socket.bytesRead === 0) socket.destroy();
    // Bytes after the last request are ignored.
    else if (error.code === 'HPE_CLOSED_CONNECTION') connection.closing = true;
    else {
      if (error.code === TIMED_OUT) this.options.onTooSlow('head');
      connection.refuseUnread(refused);
    }
  }
}

/** Responds without an exchange, and closes: the rest of the request is not read. */
function refuse(connection: Connection, response: ServerResponse, refused: Problem): void {
  connection.closeWithError();
  response.writeHead(refused.status, [...refused.fields, 'Connection', 'close']);
  response.end(refused.content);
}

/** Handles the events that Node no longer handles on a socket that it has handed over. */
function takeOver(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.on('timeout', () => socket.destroy());
}

/** A response on a socket that Node has handed over. */
function responseOf(request: IncomingMessage, socket: Socket): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  socket.on('drain', () => response.emit('drain'));
  response.on('finish', () => {
    if (response.socket === socket) response.detachSocket(socket);
    socket.destroySoon();
  });
  return response;
}

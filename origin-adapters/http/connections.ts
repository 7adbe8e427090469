/**
 * The connections to one URL of an origin: at most `limit`. The most recently used one is taken first, so that
 * surplus connections become idle and close.
 */
import type { Socket } from 'node:net';
import { buildConnector, Client } from 'undici';
import type { Dispatcher } from 'undici';
import { ConnectionTimer } from './connection-timer.ts';
import { filterContinue } from './continue-filter.ts';
import type { ContinueFilter } from './continue-filter.ts';
import type { RequestOptions } from './request.ts';

export interface ConnectionPool {
  /** Without a path. */
  readonly url: string;
  /** The server name for TLS, whatever Host a request names. */
  readonly serverName: string;
  /** A connection for the caller until it is released; null at the limit. `fresh`: not a kept-alive one. */
  take(fresh: boolean): OriginConnection | null;
  give(connection: OriginConnection): void;
  /** Closes every connection, with whatever runs on it. */
  destroy(): void;
}

/** One connection at a time to the URL, opened on first use and again after a loss. */
export interface OriginConnection {
  readonly pool: ConnectionPool;
  dispatch(options: RequestOptions, handler: Dispatcher.DispatchHandler): void;
  /** Requests on the open socket, including the current one. */
  readonly carried: number;
  /** Called by the handler just before its request is written. */
  beginRequest(): void;
  /** The socket was ended by an error, not closed in order by the origin. */
  readonly broken: boolean;
  /** For the request that uses the connection. */
  readonly headTimer: ConnectionTimer;
  readonly bodyTimer: ConnectionTimer;
}

export interface ConnectionOptions {
  readonly limit: number;
  readonly connectTimeoutMs: number;
  /** How long the origin may leave the request unread. */
  readonly sendTimeoutMs: number;
  /** PEM; undefined: the system's authorities. */
  readonly ca: string | undefined;
  readonly serverName: string | undefined;
}

/** The maximum size of a response's header section in bytes. Tags alone may take 16 KiB at some CDNs. */
const maxHeaderBytes = 64 * 1024;

/** Shorter than the 5 s after which a Node.js origin closes an idle connection, so that Weir closes it first. */
const keepAliveMs = 4_000;
/** The upper limit on the time that the origin's Keep-Alive field states. */
const keepAliveMaxMs = 60_000;

export function createConnectionPool(url: string, options: ConnectionOptions): ConnectionPool {
  return new LimitedPool(url, options);
}

class LimitedPool implements ConnectionPool {
  readonly url: string;
  readonly serverName: string;
  readonly #options: ConnectionOptions;
  readonly #all = new Set<PooledConnection>();
  readonly #idle: PooledConnection[] = [];

  constructor(url: string, options: ConnectionOptions) {
    this.url = url;
    this.serverName = new URL(url).hostname;
    this.#options = options;
  }

  take(fresh: boolean): OriginConnection | null {
    if (!fresh && this.#idle.length > 0) return this.#idle.pop()!;
    if (this.#all.size >= this.#options.limit) {
      const oldest = this.#idle.shift();
      if (oldest === undefined) return null;
      this.#drop(oldest);
    }
    const connection = new PooledConnection(this, this.#options);
    this.#all.add(connection);
    return connection;
  }

  give(connection: OriginConnection): void {
    const own = connection as PooledConnection;
    if (!this.#all.has(own)) return;
    if (own.connected) this.#idle.push(own);
    else this.#drop(own);
  }

  /** Its socket is closed. A connection in use opens another one for its next request. */
  lost(connection: PooledConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at < 0) return;
    this.#idle.splice(at, 1);
    this.#drop(connection);
  }

  destroy(): void {
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
    this.#idle.length = 0;
  }

  #drop(connection: PooledConnection): void {
    this.#all.delete(connection);
    connection.destroy();
  }
}

class PooledConnection implements OriginConnection {
  readonly pool: LimitedPool;
  carried = 0;
  broken = false;
  connected = false;
  readonly headTimer = new ConnectionTimer();
  readonly bodyTimer = new ConnectionTimer();
  readonly #client: Client;
  #filter: ContinueFilter | null = null;

  constructor(pool: LimitedPool, options: ConnectionOptions) {
    this.pool = pool;
    this.#client = new Client(pool.url, {
      // HTTP/1.1 only: the connection limit is then the limit on concurrent requests, and one strict parser determines
      // the end of each message.
      allowH2: false,
      pipelining: 1,
      strictContentLength: true,
      maxHeaderSize: maxHeaderBytes,
      // Later than the call's own timer, because undici's is coarse.
      headersTimeout: options.sendTimeoutMs + 1_000,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMaxMs,
      connect: watchedConnector(options, (socket) => {
        this.#filter = filterContinue(socket);
        socket.on('error', () => {
          this.broken = true;
        });
      }),
    });
    this.#client.on('connect', () => {
      this.connected = true;
      this.carried = 0;
      this.broken = false;
    });
    this.#client.on('disconnect', () => {
      this.connected = false;
      pool.lost(this);
    });
  }

  dispatch(options: RequestOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(options, handler);
  }

  beginRequest(): void {
    this.carried += 1;
    this.#filter?.expectHead();
  }

  destroy(): void {
    this.headTimer.end();
    this.bodyTimer.end();
    void this.#client.destroy();
  }
}

/**
 * Opens sockets that `onSocket` receives before undici. The TLS server name is the origin's own, whatever the
 * request's Host.
 */
function watchedConnector(
  options: ConnectionOptions,
  onSocket: (socket: Socket) => void,
): buildConnector.connector {
  const connect = buildConnector({
    allowH2: false,
    timeout: options.connectTimeoutMs,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.serverName === undefined ? {} : { servername: options.serverName }),
  });
  return (target, callback) => {
    connect({ ...target, servername: undefined }, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      onSocket(socket as Socket);
      callback(null, socket as Socket);
    });
  };
}

/**
 * The connections to one URL of an origin: at most `limit`. The most recently used one is taken first, so that
 * surplus connections become idle and close.
 */
import type { Socket } from 'node:net';
import { buildConnector, Client } from 'undici';
import type { Dispatcher } from 'undici';
import { filterContinue } from './continue-filter.ts';
import type { ContinueFilter } from './continue-filter.ts';

export interface ConnectionPool {
  /** Without a path. */
  readonly url: string;
  /** A connection for the caller until it is released; null at the limit. `fresh`: not a kept-alive one. */
  take(fresh: boolean): OriginConnection | null;
  give(connection: OriginConnection): void;
  /** Closes every connection, with whatever runs on it. */
  destroy(): void;
}

/** One connection at a time to the URL, opened on first use and again after a loss. */
export interface OriginConnection {
  readonly pool: ConnectionPool;
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /** Requests on the open socket, including the current one. */
  readonly carried: number;
  /** Called by the handler just before its request is written. */
  beginRequest(): void;
  /** The socket was ended by an error, not closed in order by the origin. */
  readonly broken: boolean;
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
/** The most that is accepted of the origin's Keep-Alive field. */
const keepAliveMaxMs = 60_000;

export function createConnectionPool(url: string, options: ConnectionOptions): ConnectionPool {
  const all = new Set<PooledConnection>();
  const idle: PooledConnection[] = [];

  const open = (): PooledConnection => {
    const connection = openConnection(pool, url, options, () => {
      const at = idle.indexOf(connection);
      if (at >= 0) {
        idle.splice(at, 1);
        drop(connection);
      }
    });
    all.add(connection);
    return connection;
  };
  const drop = (connection: PooledConnection): void => {
    all.delete(connection);
    connection.destroy();
  };

  const pool: ConnectionPool = {
    url,
    take(fresh) {
      if (!fresh && idle.length > 0) return idle.pop()!;
      if (all.size < options.limit) return open();
      const oldest = idle.shift();
      if (oldest === undefined) return null;
      drop(oldest);
      return open();
    },
    give(connection) {
      const own = connection as PooledConnection;
      if (!all.has(own)) return;
      if (own.connected) idle.push(own);
      else drop(own);
    },
    destroy() {
      for (const connection of all) connection.destroy();
      all.clear();
      idle.length = 0;
    },
  };
  return pool;
}

interface PooledConnection extends OriginConnection {
  readonly connected: boolean;
  destroy(): void;
}

function openConnection(
  pool: ConnectionPool,
  url: string,
  options: ConnectionOptions,
  onDisconnect: () => void,
): PooledConnection {
  const { hostname } = new URL(url);
  let connected = false;
  let carried = 0;
  let broken = false;
  let filter: ContinueFilter | null = null;

  const client = new Client(url, {
    // HTTP/1.1 only: the connection limit is then the limit on concurrent requests, and one strict parser determines
    // the end of each message.
    allowH2: false,
    pipelining: 1,
    strictContentLength: true,
    maxHeaderSize: maxHeaderBytes,
    // Later than the attempt's own timer, because undici's is coarse.
    headersTimeout: options.sendTimeoutMs + 1_000,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMaxMs,
    connect: watchedConnector(options, (socket) => {
      filter = filterContinue(socket);
      socket.on('error', () => {
        broken = true;
      });
    }),
  });
  client.on('connect', () => {
    connected = true;
    carried = 0;
    broken = false;
  });
  client.on('disconnect', () => {
    connected = false;
    onDisconnect();
  });

  return {
    pool,
    dispatch(dispatchOptions, handler) {
      // Without it undici would take the server name from Host, and open a new connection for each name that clients
      // send. Its types lack the option.
      const withServerName: Dispatcher.DispatchOptions & { servername: string } = {
        ...dispatchOptions,
        servername: hostname,
      };
      client.dispatch(withServerName, handler);
    },
    get carried() {
      return carried;
    },
    beginRequest() {
      carried++;
      filter?.expectHead();
    },
    get broken() {
      return broken;
    },
    get connected() {
      return connected;
    },
    destroy: () => void client.destroy(),
  };
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

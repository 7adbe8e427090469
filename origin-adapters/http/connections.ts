/**
 * The connections to one URL of an origin: at most `limit`, the one used last taken first, so that those that are
 * not needed grow idle and close.
 */
import type { Socket } from 'node:net';
import { buildConnector, Client } from 'undici';
import type { Dispatcher } from 'undici';
import { filterContinue } from './continue-filter.ts';
import type { ContinueFilter } from './continue-filter.ts';

export interface ConnectionPool {
  /** Without a path. */
  readonly url: string;
  /** A connection that is the caller's until it is given back; null where the limit is reached. `fresh`: not one kept alive. */
  take(fresh: boolean): OriginConnection | null;
  give(connection: OriginConnection): void;
  /** Ends every connection and whatever runs on it. */
  destroy(): void;
}

/** One connection at a time to the URL, opened when it is first used and again after it was lost. */
export interface OriginConnection {
  readonly pool: ConnectionPool;
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /** Requests that the open socket has carried, the running one included. */
  readonly carried: number;
  /** Called by the handler when its request is about to be written. */
  beginRequest(): void;
  /** The socket ended by an error, not by the origin's orderly close. */
  readonly broken: boolean;
}

export interface ConnectionOptions {
  readonly limit: number;
  readonly connectTimeoutMs: number;
  /** How long the origin may leave the request unread. */
  readonly sendTimeoutMs: number;
  /** PEM; undefined: the system's own authorities. */
  readonly ca: string | undefined;
  readonly serverName: string | undefined;
}

/** Of a response's header section, in bytes. Tags of a response may fill 16 KiB alone at some CDNs. */
const maxHeaderBytes = 64 * 1024;

/** Shorter than the 5 s after which a Node.js origin closes an idle connection, so that we close it first. */
const keepAliveMs = 4_000;
/** Where the origin's Keep-Alive field promises more, it is believed up to this. */
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
    // HTTP/1.1 on purpose: the limit on connections is then the limit on requests at a time at the origin, and the
    // end of each message is judged by one strict parser.
    allowH2: false,
    pipelining: 1,
    strictContentLength: true,
    maxHeaderSize: maxHeaderBytes,
    // The slack keeps undici's coarse timer behind the attempt's own.
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
      // undici would take the server name from Host, and open a new connection whenever a client names another one. It
      // takes it from here, though its types do not say so.
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
 * Opens sockets that `onSocket` sees before undici does, and whose TLS server name is the origin's own whatever Host a
 * request bears.
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

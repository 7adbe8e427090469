import type { RedisClientOptions } from 'redis';
import { orAborted } from '../abort.ts';
import type { FeedDeps, FeedFailure } from '../feed.ts';
import { readTls, type TlsMaterial } from '../tls.ts';
import { RedisFault } from './fault.ts';
import type { StreamState } from './place.ts';
import { arrayOf, readEntries, readRole, readStreamState, type StreamEntry } from './replies.ts';
import type { RedisStreamOptions } from './options.ts';

/** The stream at one moment: its state, and what comes after the id asked for. */
export interface Snapshot {
  readonly state: StreamState;
  /** As many as were asked for, or all that there are. */
  readonly entries: readonly StreamEntry[];
}

export type OpenedRedis =
  | { readonly kind: 'open'; readonly connection: RedisConnection }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** What is used of the client, whatever types its replies are mapped to. */
interface Client {
  connect(): Promise<unknown>;
  destroy(): void;
  sendCommand(command: readonly string[]): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/**
 * One connection that reads a stream and never reconnects. Aborting ends whatever waits on it, also a blocked XREAD,
 * by closing the socket.
 */
export class RedisConnection {
  readonly #client: Client;
  readonly #stream: string;

  private constructor(client: Client, stream: string) {
    this.#client = client;
    this.#stream = stream;
  }

  /** Rejects with what the client or the server says. `timeoutMs`: for the connection to be made. */
  static async open(
    options: RedisStreamOptions,
    timeoutMs: number,
    deps: FeedDeps,
    signal: AbortSignal,
  ): Promise<OpenedRedis> {
    const loaded = await deps.loadLibrary('redis', () => import('redis'));
    if (loaded.kind === 'failed') return loaded;
    const tls = await readTls(options.tls ?? {});
    if (tls.kind === 'failed') return tls;
    const { createClient, RESP_TYPES } = loaded.library;
    const client: Client = createClient({
      ...addressOf(options, tls.material, timeoutMs),
      RESP: 2,
      disableClientInfo: true,
      maintNotifications: 'disabled',
      commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    });
    // What goes wrong rejects the command under way as well.
    client.on('error', () => undefined);
    const connection = new RedisConnection(client, options.stream);
    try {
      await connect(client, signal);
      await connection.#refuseReplica();
    } catch (error) {
      connection.close();
      throw error;
    }
    return { kind: 'open', connection };
  }

  close(): void {
    this.#client.destroy();
  }

  /** State and entries of the same moment, for they are read in one transaction. After null: no entries. */
  async snapshot(afterId: string | null, most: number): Promise<Snapshot> {
    const client = this.#client;
    const from = afterId === null ? '+' : `(${afterId}`;
    const [, , , replies] = await Promise.all([
      client.sendCommand(['MULTI']),
      client.sendCommand(['XINFO', 'STREAM', this.#stream]),
      client.sendCommand(['XRANGE', this.#stream, from, '+', 'COUNT', String(most)]),
      client.sendCommand(['EXEC']),
    ]);
    const [info, entries] = arrayOf(replies);
    return { state: readStreamState(info), entries: readEntries(entries) };
  }

  /** Resolves when there is an entry after that id, or after that time. */
  async waitForMore(afterId: string, mostMs: number): Promise<void> {
    const block = String(Math.max(1, Math.round(mostMs)));
    await this.#client.sendCommand(['XREAD', 'COUNT', '1', 'BLOCK', block, 'STREAMS', this.#stream, afterId]);
  }

  /** A replica may lag behind, and does not know how far: its head is not the stream's. */
  async #refuseReplica(): Promise<void> {
    const role = readRole(await this.#client.sendCommand(['HELLO']));
    if (role === null || role === 'master') return;
    throw new RedisFault(
      'protocol',
      `the server is a ${role}, which can't tell where the stream's head is: give its master's url`,
    );
  }
}

async function connect(client: Client, signal: AbortSignal): Promise<void> {
  signal.addEventListener('abort', () => client.destroy(), { once: true });
  const connecting = client.connect();
  // A socket that came only after the client was destroyed.
  const destroyLate = (): unknown => signal.aborted && client.destroy();
  connecting.then(destroyLate).catch(() => undefined);
  await orAborted(connecting, signal);
}

function addressOf(
  options: RedisStreamOptions,
  tls: TlsMaterial,
  timeoutMs: number,
): Pick<RedisClientOptions, 'socket' | 'username' | 'password' | 'database'> {
  const url = new URL(options.url);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const socket = {
    host,
    port: url.port === '' ? 6379 : Number(url.port),
    connectTimeout: timeoutMs,
    reconnectStrategy: false as const,
  };
  const username = options.username ?? decodeURIComponent(url.username);
  const password = options.password ?? decodeURIComponent(url.password);
  const database = url.pathname.slice(1);
  return {
    socket: url.protocol === 'rediss:' ? { ...socket, tls: true, servername: host, ...tls } : socket,
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(database === '' ? {} : { database: Number(database) }),
  };
}

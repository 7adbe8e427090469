import type { RedisClientOptions } from 'redis';
import { orAborted } from '../abort.ts';
import type { FeedClock, FeedDeps, FeedFailure } from '../feed.ts';
import { readTls, type TlsMaterial } from '../tls.ts';
import { within } from '../within.ts';
import { RedisFault } from './fault.ts';
import type { RedisStreamState } from './position.ts';
import { arrayOf, readEntries, readRole, readStreamState } from './replies.ts';
import type { StreamEntry } from './position.ts';
import type { RedisStreamOptions } from './options.ts';

/** The stream at one moment: its state, the entry with the requested id, and the entries after it. */
export interface StreamSnapshot {
  readonly state: RedisStreamState;
  /** The entry with the requested id; null: it does not exist. */
  readonly own: StreamEntry | null;
  /** As many entries as requested, or all that follow. */
  readonly entries: readonly StreamEntry[];
}

export type OpenedRedis =
  | { readonly kind: 'open'; readonly connection: RedisConnection }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** The used part of the client, whatever types its replies are mapped to. */
interface Client {
  connect(): Promise<unknown>;
  destroy(): void;
  sendCommand(command: readonly string[]): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/**
 * A connection that reads one stream and never reconnects. An abort closes the socket, which ends every wait,
 * including a blocked XREAD.
 */
export class RedisConnection {
  readonly #client: Client;
  readonly #stream: string;
  readonly #answerMs: number;
  readonly #clock: FeedClock;

  private constructor(client: Client, stream: string, answerMs: number, clock: FeedClock) {
    this.#client = client;
    this.#stream = stream;
    this.#answerMs = answerMs;
    this.#clock = clock;
  }

  /** Rejects with the error of the client or the server. `timeoutMs`: for connecting, and for each response. */
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
    // The same error rejects the command in progress.
    client.on('error', () => undefined);
    const connection = new RedisConnection(client, options.stream, timeoutMs, deps.clock);
    try {
      await within(connect(client, signal), timeoutMs, deps.clock, 'the server accepted no connection');
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

  /** State and entries of the same moment, read in one transaction. `afterId` null: no entries. */
  async snapshot(afterId: string | null, most: number): Promise<StreamSnapshot> {
    const from = afterId === null ? '+' : `(${afterId}`;
    const own = afterId ?? '+';
    const replies = await this.#answer(
      ['MULTI'],
      ['XINFO', 'STREAM', this.#stream],
      ['XRANGE', this.#stream, own, own],
      ['XRANGE', this.#stream, from, '+', 'COUNT', String(most)],
      ['EXEC'],
    );
    const [info, owns, entries] = arrayOf(replies);
    return {
      state: readStreamState(info),
      own: readEntries(owns)[0] ?? null,
      entries: readEntries(entries),
    };
  }

  /** Resolves when there is an entry after that id, or after `mostMs`. */
  async waitForMore(afterId: string, mostMs: number): Promise<void> {
    const block = String(Math.max(1, Math.round(mostMs)));
    const command = ['XREAD', 'COUNT', '1', 'BLOCK', block, 'STREAMS', this.#stream, afterId];
    const limitMs = mostMs + this.#answerMs;
    await within(this.#client.sendCommand(command), limitMs, this.#clock, unanswered);
  }

  /** The reply to the last command. */
  async #answer(...commands: readonly (readonly string[])[]): Promise<unknown> {
    const answers = Promise.all(commands.map((command) => this.#client.sendCommand(command)));
    return (await within(answers, this.#answerMs, this.#clock, unanswered)).at(-1);
  }

  /** A replica may lag behind without knowing it, so its head is not the stream's. */
  async #refuseReplica(): Promise<void> {
    const role = readRole(await this.#answer(['HELLO']));
    if (role === null || role === 'master') return;
    throw new RedisFault(
      'protocol',
      `the server is a ${role}, which does not know the stream's head: set url to its master`,
    );
  }
}

const unanswered = 'the server gave no answer';

async function connect(client: Client, signal: AbortSignal): Promise<void> {
  signal.addEventListener('abort', () => client.destroy(), { once: true });
  const connecting = client.connect();
  // The socket may connect only after the client was destroyed.
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

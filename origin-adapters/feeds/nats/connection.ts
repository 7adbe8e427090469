import type * as JetStreamLibrary from '@nats-io/jetstream';
import type { JetStreamClient, JetStreamManager, JsMsg, StreamConfig } from '@nats-io/jetstream';
import type * as NatsLibrary from '@nats-io/transport-node';
import type { Authenticator, NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { orAborted } from '../abort.ts';
import type { FeedDeps, FeedFailure } from '../feed.ts';
import { readTls, type TlsMaterial } from '../tls.ts';
import { Arrivals } from './arrivals.ts';
import { NatsFault } from './fault.ts';
import type { StreamLeader } from './following.ts';
import type { NatsOptions } from './options.ts';
import type { KnownMessage, NatsStreamState } from './position.ts';
import { ConnectionSockets } from './sockets.ts';

export type OpenedNats =
  | { readonly kind: 'open'; readonly connection: NatsStreamConnection }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** The server removes the consumer, which is ephemeral and kept in memory, after this time without use. */
const CONSUMER_IDLE_MS = 60_000;
/** How long the server keeps a request for messages open. */
const FETCH_MS = 30_000;
const NANOSECONDS = 1_000_000;

/** A connection that reads one stream and never reconnects. An abort of the signal ends every wait. */
export class NatsStreamConnection implements StreamLeader {
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #client: JetStreamClient;
  readonly #library: typeof JetStreamLibrary;
  readonly #stream: string;
  readonly #signal: AbortSignal;

  private constructor(
    connection: NatsConnection,
    library: typeof JetStreamLibrary,
    manager: JetStreamManager,
    options: NatsOptions,
    signal: AbortSignal,
  ) {
    this.#connection = connection;
    this.#library = library;
    this.#manager = manager;
    this.#client = manager.jetstream();
    this.#stream = options.stream;
    this.#signal = signal;
  }

  /** Rejects with the error of the client or the server. `timeoutMs`: for connecting, and for each later response. */
  static async open(
    options: NatsOptions,
    timeoutMs: number,
    deps: FeedDeps,
    signal: AbortSignal,
  ): Promise<OpenedNats> {
    const transport = await deps.loadLibrary(
      '@nats-io/transport-node',
      () => import('@nats-io/transport-node'),
    );
    if (transport.kind === 'failed') return transport;
    const jetstream = await deps.loadLibrary('@nats-io/jetstream', () => import('@nats-io/jetstream'));
    if (jetstream.kind === 'failed') return jetstream;
    const tls = await readTls(options.tls ?? {});
    if (tls.kind === 'failed') return tls;

    const sockets = new ConnectionSockets();
    const connecting = sockets.collect(() =>
      transport.library.connect(connectionOptions(options, tls.material, timeoutMs, transport.library)),
    );
    const closeLate = (connection: NatsConnection): unknown => signal.aborted && connection.close();
    connecting.then(closeLate).catch(() => undefined);
    const connection = await orAborted(connecting, signal).catch((error: unknown) => {
      sockets.destroy();
      throw error;
    });
    const { domain } = options;
    const manager = await jetstream.library.jetstreamManager(connection, {
      checkAPI: false,
      timeout: timeoutMs,
      ...(domain === undefined ? {} : { domain }),
    });
    const opened = new NatsStreamConnection(connection, jetstream.library, manager, options, signal);
    return { kind: 'open', connection: opened };
  }

  /** The stream's state as its leader reports it. */
  async state(): Promise<NatsStreamState> {
    const { config, created, state } = await orAborted(
      this.#manager.streams.info(this.#stream),
      this.#signal,
    );
    const problem = unsuitability(config);
    if (problem !== null) throw new NatsFault('protocol', 'slowly', `the stream ${this.#stream} ${problem}`);
    return { created, firstSequence: state.first_seq, lastSequence: state.last_seq };
  }

  /** The message with this sequence; null: it does not exist. */
  async message(sequence: number): Promise<KnownMessage | null> {
    // The first sequence is 1.
    if (sequence === 0) return null;
    const query = { seq: sequence };
    const message = await orAborted(this.#manager.streams.getMessage(this.#stream, query), this.#signal);
    if (message === null) return null;
    const { subject, data, timestamp } = message;
    return { subject, data, timestampNanos: nanosOf(timestamp) };
  }

  async nextSequence(from: number): Promise<number | null> {
    // Servers from 2.9 on accept both, but the library's types do not.
    const query = { seq: from, next_by_subj: '>' };
    const message = await orAborted(this.#manager.streams.getMessage(this.#stream, query), this.#signal);
    return message?.seq ?? null;
  }

  /** Reads from that sequence on. The server may begin at a later one, which the reader has to check. */
  async read(sequence: number, deps: FeedDeps): Promise<Arrivals<JsMsg>> {
    const { AckPolicy, DeliverPolicy } = this.#library;
    const info = await orAborted(
      this.#manager.consumers.add(this.#stream, {
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: sequence,
        ack_policy: AckPolicy.None,
        inactive_threshold: CONSUMER_IDLE_MS * NANOSECONDS,
        mem_storage: true,
        num_replicas: 1,
      }),
      this.#signal,
    );
    const consumer = this.#client.consumers.getConsumerFromInfo(info);
    return new Arrivals({
      clock: deps.clock,
      signal: this.#signal,
      fetch: (messages) => consumer.fetch({ max_messages: messages, expires: FETCH_MS }),
      bytesOf: (message) => message.data.length,
      whyEnded: () => (this.#connection.isClosed() ? new Error('the connection was lost') : null),
    });
  }

  /** Does not wait for a server that does not respond. */
  close(): void {
    this.#connection.close().catch(() => undefined);
  }
}

/** Nanoseconds of a time such as `2026-11-20T23:19:28.1566814Z`, rounded as the client rounds those of deliveries. */
function nanosOf(timestamp: string): number {
  const [, seconds = '', fraction = '', zone = ''] =
    /^([^.Z+]+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(timestamp) ?? [];
  const nanos = BigInt(Date.parse(seconds + zone)) * BigInt(NANOSECONDS) + BigInt(fraction.padEnd(9, '0'));
  return Number(nanos);
}

/** The reason why a stream of this kind can't prove that nothing was missed; null: it can. */
function unsuitability({ mirror, sources, retention }: StreamConfig): string | null {
  if (mirror !== undefined || (sources ?? []).length > 0) {
    return 'copies other streams and does not know how far it is behind them: name the original stream';
  }
  // A value of the library's enumeration, which is not imported because the library is loaded only on use.
  if ((retention as string) === 'workqueue') {
    return "is a work queue, which gives each message to one reader: take one with the retention 'limits'";
  }
  return null;
}

function connectionOptions(
  options: NatsOptions,
  tls: TlsMaterial,
  timeoutMs: number,
  library: typeof NatsLibrary,
): NodeConnectionOptions {
  const servers = [options.servers].flat();
  const isTls = options.tls !== undefined || servers.some((server) => server.startsWith('tls:'));
  return {
    servers: servers.map((server) => server.replace(/^tls:/, 'nats:')),
    name: 'weir',
    reconnect: false,
    timeout: timeoutMs,
    ignoreClusterUpdates: true,
    authenticator: authenticatorsOf(options, library),
    ...(isTls ? { tls } : {}),
  };
}

function authenticatorsOf(options: NatsOptions, library: typeof NatsLibrary): Authenticator[] {
  const { username, password, token, credentials, nkey } = options;
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const authenticators: Authenticator[] = [];
  if (username !== undefined) authenticators.push(library.usernamePasswordAuthenticator(username, password));
  if (token !== undefined) authenticators.push(library.tokenAuthenticator(token));
  if (credentials !== undefined) authenticators.push(library.credsAuthenticator(bytes(credentials)));
  if (nkey !== undefined) authenticators.push(library.nkeyAuthenticator(bytes(nkey)));
  return authenticators;
}

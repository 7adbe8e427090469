import type { Client } from 'pg';
import type { FeedClock } from '../feed.ts';
import { ByteReader, Unreadable } from './byte-reader.ts';
import { formatLsn } from './position.ts';
import { TransactionReader, type PostgresTransaction } from './transactions.ts';

/** What the server sends, in its order. */
export type ReplicationItem =
  | { readonly kind: 'transaction'; readonly transaction: PostgresTransaction }
  /** Everything committed before `walEnd` was sent, if it stands between transactions. */
  | {
      readonly kind: 'keepalive';
      readonly walEnd: bigint;
      readonly isBetween: boolean;
      readonly asksForReply: boolean;
    }
  /** Rows of a transaction keep coming, and its end has not come for a while. */
  | { readonly kind: 'underway' };

export interface StreamStart {
  readonly slot: string;
  readonly publications: readonly string[];
  /** The first commit that is sent is the one that begins here, or the next. */
  readonly lsn: bigint;
  /** Up to here everything is durable with us; 0: nothing is known to be. */
  readonly durableLsn: bigint;
  /** Whether messages of `pg_logical_emit_message` are sent as well, as from Postgres 14 on they can be. */
  readonly withMessages: boolean;
}

/**
 * The streaming replication protocol on one connection (PostgreSQL manual, "Streaming Replication Protocol"). Reads no
 * further while items wait to be taken; what is read ahead is one piece from the socket and one open transaction.
 */
export class ReplicationStream {
  readonly #client: Client;
  readonly #clock: FeedClock;
  readonly #quietMs: number;
  readonly #reader: TransactionReader;
  #items: ReplicationItem[] = [];
  #itemAtMs: number;
  /** Read since other work last had its turn. */
  #sliceBytes = 0;
  #durableLsn = 0n;
  #keptLsn = 0n;
  #isStarted = false;
  #end: { readonly error: unknown } | null = null;
  #arrival: (() => void) | null = null;

  /** `quietMs`: after how long a transaction without an end is spoken of. */
  constructor(client: Client, clock: FeedClock, maxTransactionBytes: number, quietMs: number) {
    this.#client = client;
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#reader = new TransactionReader(maxTransactionBytes);
    this.#itemAtMs = clock.monotonicMs();
  }

  /** Resolves when the server streams. Rejects with what it answers otherwise. */
  async start(start: StreamStart): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#durableLsn = start.durableLsn;
    this.#client.connection.on('copyData', ({ chunk }: { readonly chunk: Buffer }) => this.#take(chunk));
    this.#client.connection.once('replicationStart', () => {
      this.#isStarted = true;
      resolve();
    });
    const stop = (error: unknown): void => {
      reject(error);
      this.fail(error);
    };
    this.#client.query(startCommand(start)).then(() => stop(new Error('the server ended the stream')), stop);
    await promise;
  }

  /** The next item, as soon as there is one. Rejects once nothing more can come. */
  async next(): Promise<ReplicationItem> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#end !== null) throw this.#end.error;
      this.#client.connection.stream.resume();
      await new Promise<void>((resolve) => {
        this.#arrival = resolve;
      });
    }
  }

  /** After what has arrived, nothing more comes. The first reason counts. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#arrival?.();
  }

  /**
   * Tells the server that everything up to `durableLsn` is durable here, and that the slot may forget what lies before
   * `keptLsn`, which can't be taken back.
   */
  confirm(durableLsn: bigint, keptLsn: bigint): void {
    if (durableLsn <= this.#durableLsn && keptLsn <= this.#keptLsn) return;
    if (durableLsn > this.#durableLsn) this.#durableLsn = durableLsn;
    const movesSlot = keptLsn > this.#keptLsn;
    if (movesSlot) this.#keptLsn = keptLsn;
    this.#send(movesSlot ? keptLsn : NOT_TOLD, { asksForReply: false });
  }

  /** A standby status update: what is durable, which also keeps the server from giving us up. */
  sendStatus({ asksForReply }: { readonly asksForReply: boolean }): void {
    this.#send(NOT_TOLD, { asksForReply });
  }

  /**
   * What is said to be flushed moves the slot. Where nothing is said of it, a server that stops goes by what was written,
   * and need not wait for a slot that stays behind.
   */
  #send(flushedLsn: bigint, { asksForReply }: { readonly asksForReply: boolean }): void {
    if (!this.#isStarted || this.#end !== null) return;
    const update = Buffer.alloc(34);
    update.write('r', 0, 'latin1');
    update.writeBigUInt64BE(this.#durableLsn, 1);
    update.writeBigUInt64BE(flushedLsn, 9);
    update.writeBigUInt64BE(this.#durableLsn, 17);
    update.writeBigInt64BE(BigInt(Math.trunc(this.#clock.nowMs()) - POSTGRES_EPOCH_MS) * 1000n, 25);
    update.writeUInt8(asksForReply ? 1 : 0, 33);
    this.#client.connection.sendCopyFromChunk(update);
  }

  /** Reads the chunk before it returns: `pg` writes the next ones over it. */
  #take(chunk: Buffer): void {
    if (this.#end !== null) return;
    try {
      const item = this.#read(new ByteReader(chunk));
      if (item !== null) this.#push(item);
      this.#sliceBytes += chunk.length;
      if (this.#sliceBytes > SLICE_BYTES) this.#giveTurn();
    } catch (error) {
      this.fail(error);
    }
  }

  #read(reader: ByteReader): ReplicationItem | null {
    const tag = reader.tag();
    if (tag === 'k') return this.#readKeepalive(reader);
    if (tag !== 'w') throw new Unreadable(`a replication message of unknown kind ${JSON.stringify(tag)}`);
    reader.skip(WAL_DATA_HEADER_BYTES);
    const transaction = this.#reader.take(reader.rest());
    if (transaction !== null) return { kind: 'transaction', transaction };
    const isQuiet = this.#clock.monotonicMs() - this.#itemAtMs >= this.#quietMs;
    return isQuiet ? { kind: 'underway' } : null;
  }

  #readKeepalive(reader: ByteReader): ReplicationItem {
    const walEnd = reader.uint64();
    // When it was sent.
    reader.skip(8);
    const asksForReply = reader.uint8() === 1;
    if (asksForReply) this.sendStatus({ asksForReply: false });
    return { kind: 'keepalive', walEnd, isBetween: !this.#reader.isOpen, asksForReply };
  }

  /** A large transaction comes as fast as it is read: other work goes between. */
  #giveTurn(): void {
    this.#sliceBytes = 0;
    const { stream } = this.#client.connection;
    stream.pause();
    setImmediate(() => {
      if (this.#items.length === 0) stream.resume();
    });
  }

  #push(item: ReplicationItem): void {
    this.#items.push(item);
    this.#itemAtMs = this.#clock.monotonicMs();
    this.#client.connection.stream.pause();
    this.#arrival?.();
  }
}

/** As Postgres writes it: no place in the log. */
const NOT_TOLD = 0n;
/** Some milliseconds' worth of rows. */
const SLICE_BYTES = 128 * 1024;

/** Where the data begins and ends in the log, and when it was sent. */
const WAL_DATA_HEADER_BYTES = 24;
const POSTGRES_EPOCH_MS = 946_684_800_000;

function startCommand({ slot, publications, lsn, withMessages }: StreamStart): string {
  const names = publications.map((name) => `"${name.replaceAll('"', '""')}"`).join(',');
  const messages = withMessages ? ", messages 'true'" : '';
  const options = `proto_version '1', publication_names '${names.replaceAll("'", "''")}'${messages}`;
  return `START_REPLICATION SLOT "${slot}" LOGICAL ${formatLsn(lsn)} (${options})`;
}

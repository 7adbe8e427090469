import type { Client } from 'pg';
import type { FeedClock } from '../feed.ts';
import { ByteReader, Unreadable } from './byte-reader.ts';
import { formatLsn } from './position.ts';
import { TransactionReader, type PostgresTransaction } from './transactions.ts';

/** An item that the server sends. */
export type ReplicationItem =
  | { readonly kind: 'transaction'; readonly transaction: PostgresTransaction }
  /** Everything committed before `walEnd` was sent, unless it is within a transaction. */
  | {
      readonly kind: 'keepalive';
      readonly walEnd: bigint;
      readonly isBetween: boolean;
      readonly asksForReply: boolean;
    }
  /** Rows of a transaction keep arriving without its end. */
  | { readonly kind: 'underway' };

export interface StreamStart {
  readonly slot: string;
  readonly publications: readonly string[];
  /** The LSN at or after which the first commit to be sent begins. */
  readonly lsn: bigint;
  /** The LSN up to which everything is durable in Weir; 0: unknown. */
  readonly durableLsn: bigint;
  /** Postgres 14 or later: whether messages of `pg_logical_emit_message` are sent as well. */
  readonly withMessages: boolean;
}

/**
 * PostgreSQL manual, "Streaming Replication Protocol": the stream on one connection. Stops reading while items wait
 * to be taken. Read-ahead is at most one piece from the socket and one open transaction.
 */
export class ReplicationStream {
  readonly #client: Client;
  readonly #clock: FeedClock;
  readonly #quietMs: number;
  readonly #reader: TransactionReader;
  #items: ReplicationItem[] = [];
  #itemAtMs: number;
  /** Bytes read since the event loop last had a turn. */
  #sliceBytes = 0;
  #durableLsn = 0n;
  #keptLsn = 0n;
  #isStarted = false;
  #end: { readonly error: unknown } | null = null;
  #arrival: (() => void) | null = null;

  /** `quietMs`: the time after which a transaction without an end is reported as `underway`. */
  constructor(client: Client, clock: FeedClock, maxTransactionBytes: number, quietMs: number) {
    this.#client = client;
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#reader = new TransactionReader(maxTransactionBytes);
    this.#itemAtMs = clock.monotonicMs();
  }

  /** Resolves when the server streams; rejects with any other response. */
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

  /** The next item; waits for it. Rejects once no more can arrive. */
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

  /** Ends the stream after what has arrived. The first reason counts. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#arrival?.();
  }

  /**
   * Reports to the server that everything up to `durableLsn` is durable, and that the slot may forget everything
   * before `keptLsn`, which can't be undone.
   */
  confirm(durableLsn: bigint, keptLsn: bigint): void {
    if (durableLsn <= this.#durableLsn && keptLsn <= this.#keptLsn) return;
    if (durableLsn > this.#durableLsn) this.#durableLsn = durableLsn;
    const movesSlot = keptLsn > this.#keptLsn;
    if (movesSlot) this.#keptLsn = keptLsn;
    this.#send(movesSlot ? keptLsn : INVALID_LSN, { asksForReply: false });
  }

  /** Sends a standby status update with what is durable, which also keeps the server from closing the connection. */
  sendStatus({ asksForReply }: { readonly asksForReply: boolean }): void {
    this.#send(INVALID_LSN, { asksForReply });
  }

  /**
   * The flushed LSN advances the slot. If it is not stated, a server that shuts down goes by the written LSN and does
   * not wait for a slot that stays behind.
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

  /** Reads the chunk before it returns, because `pg` overwrites it with the next one. */
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
    // The time of sending.
    reader.skip(8);
    const asksForReply = reader.uint8() === 1;
    if (asksForReply) this.sendStatus({ asksForReply: false });
    return { kind: 'keepalive', walEnd, isBetween: !this.#reader.isOpen, asksForReply };
  }

  /** Gives the event loop a turn, because a large transaction arrives as fast as it is read. */
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

/** Postgres' invalid LSN. */
const INVALID_LSN = 0n;
/** Rows for some milliseconds. */
const SLICE_BYTES = 128 * 1024;

/** Beginning and end of the data in the log, and the time of sending. */
const WAL_DATA_HEADER_BYTES = 24;
const POSTGRES_EPOCH_MS = 946_684_800_000;

function startCommand({ slot, publications, lsn, withMessages }: StreamStart): string {
  const names = publications.map((name) => `"${name.replaceAll('"', '""')}"`).join(',');
  const messages = withMessages ? ", messages 'true'" : '';
  const options = `proto_version '1', publication_names '${names.replaceAll("'", "''")}'${messages}`;
  return `START_REPLICATION SLOT "${slot}" LOGICAL ${formatLsn(lsn)} (${options})`;
}

import { z } from 'zod';
import type { FeedConfig } from '../../policies/config/config.ts';
import { size } from '../../policies/config/units.ts';
import {
  defineFeed,
  headIntervalMs,
  type ChangeEvent,
  type Feed,
  type FeedDeps,
  type FeedEvent,
} from './feed.ts';
import { parseAddress, showAddress, type Address } from './postgres/address.ts';
import { failed, failureOf } from './postgres/failure.ts';
import { HeadQuestion } from './postgres/head-question.ts';
import { comparePositions, formatPosition, parsePosition, showPosition } from './postgres/position.ts';
import { ReplicationStream, type StreamItem } from './postgres/replication-stream.ts';
import { decideStart, inspect, type Inspection, type Standing } from './postgres/server.ts';
import { Session } from './postgres/session.ts';
import type { Transaction } from './postgres/transactions.ts';
import { readTls, tlsSchema } from './tls.ts';

/** How long a slot that another connection holds is waited for: perhaps it is an old one of ours. */
const HELD_MS = 2_000;
const HELD_POLL_MS = 50;

const publicationSchema = z.string().min(1).max(63);

const schema = z.strictObject({
  url: z
    .string()
    .refine((url) => parseAddress(url) !== null, {
      error: 'postgres://user:password@host:port/database, without parameters',
    })
    .describe('The primary: postgres://user:password@host:port/database. The user needs REPLICATION.'),
  password: z
    .string()
    .min(1)
    .optional()
    .describe('The password, such as "${PGPASSWORD}"; in url it would have to be percent-encoded.'),
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, { error: 'up to 63 of a-z, 0-9 and _' })
    .describe('The replication slot, of plugin pgoutput. Every node of Weir needs one of its own.'),
  publication: z
    .union([publicationSchema, z.array(publicationSchema).min(1)], { error: 'a name, or a list of names' })
    .describe('The publication whose tables are followed, or several.'),
  tls: tlsSchema.optional().describe('TLS with a verified certificate; absent: none.'),
  'max-transaction': size({ least: 1024 })
    .prefault('64MiB')
    .describe(
      'The most of one transaction that is held in memory; a larger one invalidates all that it may change.',
    ),
});

type PostgresOptions = z.output<typeof schema>;

/**
 * PostgreSQL's logical decoding by its own plugin, pgoutput. A transaction is told when it has committed, whole; the
 * position is the end of its commit record, and the slot keeps everything behind what was confirmed.
 *
 * Head: the server is asked where its log ends and then, in the stream, how far it has sent. Between transactions its
 * answer, a keepalive, lies behind every change before it.
 *
 * Slots are never created here: one made anew in silence would hide what was missed.
 */
export const postgresFeed = defineFeed({
  type: 'postgres',
  schema,
  create: (config, options, deps) => new PostgresFeed(config, options, deps),
  showPosition,
  comparePositions,
});

class PostgresFeed implements Feed {
  readonly #config: FeedConfig;
  readonly #options: PostgresOptions;
  readonly #deps: FeedDeps;
  readonly #address: Address;
  #stream: ReplicationStream | null = null;

  constructor(config: FeedConfig, options: PostgresOptions, deps: FeedDeps) {
    this.#config = config;
    this.#options = options;
    this.#deps = deps;
    const address = parseAddress(options.url)!;
    this.#address = { ...address, password: options.password ?? address.password };
  }

  async *open(after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const loaded = await this.#deps.loadLibrary('pg', () => import('pg'));
    if (loaded.kind === 'failed') {
      yield loaded;
      return;
    }
    const tls = this.#options.tls === undefined ? null : await readTls(this.#options.tls);
    if (tls?.kind === 'failed') {
      yield tls;
      return;
    }
    const session = new Session(
      loaded.library,
      this.#address,
      tls?.material ?? null,
      this.#config.maxSilenceMs,
    );
    const close = (): void => session.close();
    signal.addEventListener('abort', close);
    try {
      if (signal.aborted) return;
      await session.connect();
      yield* this.#follow(session, after, signal);
    } catch (error) {
      if (!signal.aborted) yield { kind: 'failed', failure: failureOf(error, showAddress(this.#address)) };
    } finally {
      signal.removeEventListener('abort', close);
      this.#stream = null;
      session.close();
    }
  }

  acknowledge(position: string): void {
    const place = parsePosition(position);
    if (place !== null) this.#stream?.confirm(place.lsn);
  }

  async *#follow(session: Session, after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const inspection = await this.#inspect(session);
    if (inspection.kind === 'failed') {
      yield inspection;
      return;
    }
    const { standing } = inspection;
    const start = decideStart(after === null ? null : parsePosition(after), standing);
    const startLsn = start.kind === 'resume' ? start.lsn : standing.insertLsn;
    const intervalMs = headIntervalMs(this.#config.maxSilenceMs);
    const { clock } = this.#deps;
    const maxBytes = this.#options['max-transaction'];
    const stream = new ReplicationStream(session.replication, clock, maxBytes, intervalMs);
    await stream.start({
      slot: this.#options.slot,
      publications: this.#publications,
      lsn: startLsn,
      confirmedLsn: start.kind === 'resume' ? start.lsn : 0n,
    });
    this.#stream = stream;
    const question = new HeadQuestion(session.control, stream, clock, intervalMs);
    const telling = new Telling(standing, startLsn, question, intervalMs, clock.monotonicMs());
    if (start.kind === 'gap') yield { kind: 'gap', reason: start.reason, position: telling.position };
    question.start();
    try {
      while (!signal.aborted) {
        const event = telling.eventOf(await stream.next(), clock.monotonicMs());
        if (event !== null) yield event;
      }
    } finally {
      question.stop();
    }
  }

  /** Waits a little for a slot that is held. */
  async #inspect(session: Session): Promise<Exclude<Inspection, { kind: 'held' }>> {
    const { clock } = this.#deps;
    const { slot } = this.#options;
    const untilMs = clock.monotonicMs() + HELD_MS;
    for (;;) {
      const inspection = await inspect(session.control, session.replication, slot, this.#publications);
      if (inspection.kind !== 'held') return inspection;
      if (clock.monotonicMs() >= untilMs) {
        const message = `slot ${slot} is held by the server's process ${inspection.pid}: every node needs a slot of its own`;
        return { kind: 'failed', failure: failed('in-use', 'soon', message) };
      }
      await new Promise<void>((resolve) => {
        clock.schedule(HELD_POLL_MS, resolve);
      });
    }
  }

  get #publications(): readonly string[] {
    return [this.#options.publication].flat();
  }
}

/** What one stream's items tell, and up to which place everything was told. */
class Telling {
  readonly #standing: Standing;
  readonly #question: HeadQuestion;
  readonly #quietMs: number;
  #reachedLsn: bigint;
  /** As last told by a change, whose place becomes durable at once; a head's need not. */
  #movedLsn: bigint;
  #toldAtMs: number;

  /** `quietMs`: how long nothing may be told while the stream is busy. */
  constructor(standing: Standing, startLsn: bigint, question: HeadQuestion, quietMs: number, nowMs: number) {
    this.#standing = standing;
    this.#reachedLsn = startLsn;
    this.#movedLsn = startLsn;
    this.#question = question;
    this.#quietMs = quietMs;
    this.#toldAtMs = nowMs;
  }

  get position(): string {
    return formatPosition({ ...this.#standing, lsn: this.#reachedLsn });
  }

  eventOf(item: StreamItem, nowMs: number): FeedEvent | null {
    const event = this.#tell(item) ?? this.#signOfLife(nowMs);
    if (event !== null) this.#toldAtMs = nowMs;
    return event;
  }

  #tell(item: StreamItem): FeedEvent | null {
    switch (item.kind) {
      case 'transaction':
        return this.#tellTransaction(item.transaction);
      case 'keepalive':
        return this.#tellKeepalive(item);
      case 'underway':
        return null;
      default:
        return item satisfies never;
    }
  }

  #tellTransaction(transaction: Transaction): FeedEvent | null {
    this.#reach(transaction.endLsn);
    if (transaction.kind === 'changes') {
      const { changes, committedAtMs } = transaction;
      // Of tables that are not published.
      return changes.length === 0 ? null : this.#move({ changes, committedAtMs });
    }
    this.#movedLsn = this.#reachedLsn;
    return { kind: 'unintelligible', position: this.position, reason: transaction.reason };
  }

  #tellKeepalive(item: Extract<StreamItem, { kind: 'keepalive' }>): FeedEvent | null {
    if (item.isBetween) this.#reach(item.walEnd);
    const askedAtMonotonicMs = this.#question.answer(item.isBetween ? item.walEnd : null);
    if (askedAtMonotonicMs !== null) return { kind: 'head', position: this.position, askedAtMonotonicMs };
    // A server that stops waits until everything it has sent is confirmed.
    return item.asksForReply && this.#reachedLsn > this.#movedLsn ? this.#move({ changes: [] }) : null;
  }

  /** Work upstream that tells nothing must not look like a dead connection. */
  #signOfLife(nowMs: number): FeedEvent | null {
    return nowMs - this.#toldAtMs >= this.#quietMs ? this.#move({ changes: [] }) : null;
  }

  #move(told: Pick<ChangeEvent, 'changes' | 'committedAtMs'>): FeedEvent {
    this.#movedLsn = this.#reachedLsn;
    return { kind: 'change', position: this.position, ...told };
  }

  #reach(lsn: bigint): void {
    if (lsn > this.#reachedLsn) this.#reachedLsn = lsn;
  }
}

import type { FeedConfig } from '../../policies/config/config.ts';
import { defineFeed, headIntervalMs, type Feed, type FeedDeps, type FeedEvent } from './feed.ts';
import { parseAddress, showAddress, type Address } from './postgres/address.ts';
import { failed, failureOf, Undecodable } from './postgres/failure.ts';
import { HeadProver } from './postgres/head-prover.ts';
import { postgresSchema, type PostgresOptions } from './postgres/options.ts';
import { comparePositions, parsePosition, showPosition } from './postgres/position.ts';
import { ReplicationStream, type ReplicationItem } from './postgres/replication-stream.ts';
import {
  decideStart,
  inspect,
  type Inspection,
  type ReplicationStanding,
  type Start,
} from './postgres/server.ts';
import { Session } from './postgres/session.ts';
import { StreamEvents } from './postgres/stream-events.ts';
import { readTls } from './tls.ts';
import { within } from './within.ts';

/** The longest time to connect. It is independent of `max-silence`, which may be shorter than a TLS handshake. */
const CONNECT_MS = 10_000;
/** How long to wait for a slot that another connection holds, which may be an old one of this feed. */
const HELD_MS = 2_000;
const HELD_POLL_MS = 50;

/**
 * PostgreSQL's logical decoding with its own plugin pgoutput. A transaction is yielded whole after its commit; its
 * position is the end of its commit record. The slot retains the last seen commit and everything after it. At the
 * next start that commit is sent first, and shows whether the log is still the same.
 *
 * The head is proved by asking the server for the end of its log, and then, in the stream, how far it has sent.
 * Between transactions its response, a keepalive, comes after every earlier change.
 *
 * Slots are never created here, because a new one would hide what was missed.
 */
export const postgresFeed = defineFeed({
  type: 'postgres',
  packages: ['pg'],
  readLag: '1s',
  schema: postgresSchema,
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
  /** The log can't be decoded from the position on. */
  #isUndecodable = false;

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
    const session = new Session(loaded.library, this.#address, tls?.material ?? null);
    const close = (): void => session.close();
    signal.addEventListener('abort', close);
    try {
      if (signal.aborted) return;
      await within(session.connect(), CONNECT_MS, this.#deps.clock, 'the server accepted no connection');
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
    if (place !== null) this.#stream?.confirm(place.lsn, place.commit?.beginLsn ?? 0n);
  }

  async *#follow(session: Session, after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const inspection = await this.#inspect(session);
    if (inspection.kind === 'failed') {
      yield inspection;
      return;
    }
    const { standing } = inspection;
    const start = this.#start(after, standing);
    const intervalMs = headIntervalMs(this.#config.maxSilenceMs);
    const { clock } = this.#deps;
    const maxBytes = this.#options['max-transaction'];
    const stream = new ReplicationStream(session.replication, clock, maxBytes, intervalMs);
    const starting = stream.start({
      slot: this.#options.slot,
      publications: this.#publications,
      lsn: start.kind === 'resume' ? start.commit.beginLsn : standing.insertLsn,
      durableLsn: start.kind === 'resume' ? start.lsn : 0n,
      withMessages: standing.sendsMessages,
    });
    await this.#inTime(starting, 'the server did not begin to stream');
    this.#stream = stream;
    const events = new StreamEvents({
      standing,
      start,
      markAfterBytes: this.#options['mark-after'],
      quietMs: intervalMs,
      nowMs: clock.monotonicMs(),
    });
    const prover = new HeadProver({
      control: session.control,
      stream,
      clock,
      intervalMs,
      answerMs: this.#config.maxSilenceMs,
      isMarkDue: (endLsn, markLsn) => events.isMarkDue(endLsn, markLsn),
    });
    prover.start();
    try {
      while (!signal.aborted) {
        const item = await this.#next(stream);
        yield* events.eventsOf(item, prover, clock.monotonicMs());
      }
    } finally {
      prover.stop();
    }
  }

  #start(after: string | null, standing: ReplicationStanding): Start {
    const start = decideStart(after === null ? null : parsePosition(after), standing);
    if (!this.#isUndecodable) return start;
    this.#isUndecodable = false;
    return { kind: 'gap', reason: 'a publication did not exist for a part of the log' };
  }

  /**
   * Rows are decoded by the catalogue as it was when they were written. Rows that were written while a publication
   * did not exist can never be sent, and the server would fail on them each time. So the next start continues after
   * them, with a gap.
   */
  async #next(stream: ReplicationStream): Promise<ReplicationItem> {
    try {
      return await stream.next();
    } catch (error) {
      const undecodable = Undecodable.from(error);
      if (undecodable === null) throw error;
      this.#isUndecodable = true;
      throw undecodable;
    }
  }

  #inTime<T>(promise: Promise<T>, what: string): Promise<T> {
    return within(promise, this.#config.maxSilenceMs, this.#deps.clock, what);
  }

  /** Waits a little if another connection holds the slot. */
  async #inspect(session: Session): Promise<Exclude<Inspection, { kind: 'held' }>> {
    const { clock } = this.#deps;
    const { slot } = this.#options;
    const untilMs = clock.monotonicMs() + HELD_MS;
    for (;;) {
      const inspecting = inspect(session.control, session.replication, slot, this.#publications);
      const inspection = await this.#inTime(inspecting, 'the server did not respond with its state');
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

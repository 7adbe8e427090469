import type { Client } from 'pg';
import type { FeedClock } from '../feed.ts';
import { within } from '../within.ts';
import type { ReplicationStream } from './replication-stream.ts';
import { leaveMark, logEnd } from './server.ts';

/** The delay after a keepalive that proves nothing yet until the next one is requested. */
const AGAIN_MS = 50;

export interface HeadProverOptions {
  readonly control: Client;
  readonly stream: ReplicationStream;
  readonly clock: FeedClock;
  readonly intervalMs: number;
  /** The longest time for a response on the ordinary connection. */
  readonly answerMs: number;
  /** Whether to leave a mark in a log that ends there. `markLsn`: the last mark; null: none yet. */
  isMarkDue(endLsn: bigint, markLsn: bigint | null): boolean;
}

/**
 * Proves the head repeatedly: requests the end of the server's log on the ordinary connection, then keepalives in the
 * stream until one is at or after that end. Then everything committed before the request was sent. The requests also
 * keep the server from closing an idle connection.
 *
 * It also leaves a mark, an empty message in the log, if the log is not flushed up to its end, or if the slot would
 * retain too much because the last seen commit is far back.
 */
export class HeadProver {
  readonly #control: Client;
  readonly #stream: ReplicationStream;
  readonly #clock: FeedClock;
  readonly #intervalMs: number;
  readonly #answerMs: number;
  readonly #isMarkDue: HeadProverOptions['isMarkDue'];
  #markLsn: bigint | null = null;
  #isRequesting = false;
  #requested: { readonly insertLsn: bigint; readonly askedAtMs: number } | null = null;
  #cancelTick: () => void = nothing;
  #cancelAgain: (() => void) | null = null;

  constructor(options: HeadProverOptions) {
    this.#control = options.control;
    this.#stream = options.stream;
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#answerMs = options.answerMs;
    this.#isMarkDue = (endLsn, markLsn) => options.isMarkDue(endLsn, markLsn);
  }

  start(): void {
    this.#cancelTick = this.#clock.schedule(this.#intervalMs, () => this.start());
    this.#stream.sendStatus({ asksForReply: true });
    void this.#request();
  }

  stop(): void {
    this.#cancelTick();
    this.#cancelAgain?.();
  }

  /**
   * Processes a keepalive. Returns when the head was requested (monotonic) if the keepalive proves it; otherwise
   * null. `sentLsn`: everything up to there was sent; null: within a transaction.
   */
  answer(sentLsn: bigint | null): number | null {
    const asked = this.#requested;
    if (asked === null) return null;
    if (sentLsn === null || sentLsn < asked.insertLsn) {
      this.#cancelAgain ??= this.#clock.schedule(AGAIN_MS, () => {
        this.#cancelAgain = null;
        this.#stream.sendStatus({ asksForReply: true });
      });
      return null;
    }
    this.#requested = null;
    // The proof took so long that it is old: the next one begins at once.
    if (this.#clock.monotonicMs() - asked.askedAtMs > this.#intervalMs) void this.#request();
    return asked.askedAtMs;
  }

  async #request(): Promise<void> {
    if (this.#isRequesting || this.#requested !== null) return;
    this.#isRequesting = true;
    const askedAtMs = this.#clock.monotonicMs();
    try {
      const unanswered = 'the ordinary connection gave no answer';
      const insertLsn = await within(this.#requestLogEnd(), this.#answerMs, this.#clock, unanswered);
      this.#requested = { insertLsn, askedAtMs };
      this.#stream.sendStatus({ asksForReply: true });
    } catch (error) {
      this.#stream.fail(error);
    }
    this.#isRequesting = false;
  }

  /** The end of the log. */
  async #requestLogEnd(): Promise<bigint> {
    const { insertLsn, isFlushed } = await logEnd(this.#control);
    if (!isFlushed || this.#isMarkDue(insertLsn, this.#markLsn))
      this.#markLsn = await leaveMark(this.#control);
    return insertLsn;
  }
}

function nothing(): void {
  // Replaced when the requests start.
}

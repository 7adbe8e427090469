import type { Client } from 'pg';
import type { FeedClock } from '../feed.ts';
import { within } from '../within.ts';
import type { ReplicationStream } from './replication-stream.ts';
import { leaveMark, logEnd } from './server.ts';

/** How long after a keepalive that did not yet prove anything the next one is asked for. */
const AGAIN_MS = 50;

export interface HeadQuestionOptions {
  readonly control: Client;
  readonly stream: ReplicationStream;
  readonly clock: FeedClock;
  readonly intervalMs: number;
  /** The most that the ordinary connection may take to answer. */
  readonly answerMs: number;
  /** Whether to leave a mark, of a log that ends there; `markLsn`: where the last one was left, null: nowhere yet. */
  isMarkDue(endLsn: bigint, markLsn: bigint | null): boolean;
}

/**
 * Asks again and again where the server's log ends, on the ordinary connection, and has the stream answer with keepalives
 * until one lies at or beyond that place: then everything committed before the question was asked has been sent. Its
 * requests also keep the server from giving up a connection on which nothing else is said.
 *
 * It also leaves a mark in the log, an empty message: where the log is not flushed up to its end, and where the last
 * commit that was seen lies so far back that the slot would keep too much for its sake.
 */
export class HeadQuestion {
  readonly #control: Client;
  readonly #stream: ReplicationStream;
  readonly #clock: FeedClock;
  readonly #intervalMs: number;
  readonly #answerMs: number;
  readonly #isMarkDue: HeadQuestionOptions['isMarkDue'];
  #markLsn: bigint | null = null;
  #isAsking = false;
  #asked: { readonly insertLsn: bigint; readonly askedAtMs: number } | null = null;
  #cancelTick: () => void = nothing;
  #cancelAgain: (() => void) | null = null;

  constructor(options: HeadQuestionOptions) {
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
    void this.#ask();
  }

  stop(): void {
    this.#cancelTick();
    this.#cancelAgain?.();
  }

  /**
   * A keepalive has come. When the question was asked (monotonic), if this answers it: `sentLsn` is the place up to which
   * everything was sent, or null within a transaction.
   */
  answer(sentLsn: bigint | null): number | null {
    const asked = this.#asked;
    if (asked === null) return null;
    if (sentLsn === null || sentLsn < asked.insertLsn) {
      this.#cancelAgain ??= this.#clock.schedule(AGAIN_MS, () => {
        this.#cancelAgain = null;
        this.#stream.sendStatus({ asksForReply: true });
      });
      return null;
    }
    this.#asked = null;
    // What took so long to prove is old: the next proof should not wait.
    if (this.#clock.monotonicMs() - asked.askedAtMs > this.#intervalMs) void this.#ask();
    return asked.askedAtMs;
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || this.#asked !== null) return;
    this.#isAsking = true;
    const askedAtMs = this.#clock.monotonicMs();
    try {
      const unanswered = 'the ordinary connection gave no answer';
      const insertLsn = await within(this.#askServer(), this.#answerMs, this.#clock, unanswered);
      this.#asked = { insertLsn, askedAtMs };
      this.#stream.sendStatus({ asksForReply: true });
    } catch (error) {
      this.#stream.fail(error);
    }
    this.#isAsking = false;
  }

  /** Where the log ended. */
  async #askServer(): Promise<bigint> {
    const { insertLsn, isFlushed } = await logEnd(this.#control);
    if (!isFlushed || this.#isMarkDue(insertLsn, this.#markLsn))
      this.#markLsn = await leaveMark(this.#control);
    return insertLsn;
  }
}

function nothing(): void {
  // Not yet started.
}

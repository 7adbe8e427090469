import type { Client } from 'pg';
import type { FeedClock } from '../feed.ts';
import type { ReplicationStream } from './replication-stream.ts';
import { flushLog, logEnd } from './server.ts';

/** How long after a keepalive that did not yet prove anything the next one is asked for. */
const AGAIN_MS = 50;

/**
 * Asks again and again where the server's log ends, on the ordinary connection, and has the stream answer with keepalives
 * until one lies at or beyond that place: then everything committed before the question was asked has been sent. Its
 * requests also keep the server from giving up a connection on which nothing else is said.
 */
export class HeadQuestion {
  readonly #control: Client;
  readonly #stream: ReplicationStream;
  readonly #clock: FeedClock;
  readonly #intervalMs: number;
  #isAsking = false;
  #asked: { readonly insertLsn: bigint; readonly askedAtMs: number } | null = null;
  #cancelTick: () => void = nothing;
  #cancelAgain: (() => void) | null = null;

  constructor(control: Client, stream: ReplicationStream, clock: FeedClock, intervalMs: number) {
    this.#control = control;
    this.#stream = stream;
    this.#clock = clock;
    this.#intervalMs = intervalMs;
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
      const { insertLsn, isFlushed } = await logEnd(this.#control);
      if (!isFlushed) await flushLog(this.#control);
      this.#asked = { insertLsn, askedAtMs };
      this.#stream.sendStatus({ asksForReply: true });
    } catch (error) {
      this.#stream.fail(error);
    }
    this.#isAsking = false;
  }
}

function nothing(): void {
  // Not yet started.
}

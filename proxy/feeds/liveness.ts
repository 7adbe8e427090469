import type { FeedClock, FeedFailure, FeedLog } from '../../origin-adapters/feeds/feed.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { FeedHealth, FeedState } from './sink.ts';

export interface LivenessDeps {
  readonly config: Pick<FeedConfig, 'name' | 'maxSilenceMs'>;
  readonly clock: Pick<FeedClock, 'monotonicMs'>;
  readonly log: FeedLog;
  readonly health: FeedHealth;
}

/**
 * The state of one feed, published to the workers. A feed is `live` while it is connected and was proved to be at its
 * head within `max-silence`.
 */
export class Liveness {
  readonly #deps: LivenessDeps;
  #state: FeedState = 'lost';
  #provedAtMs = -Infinity;
  #lastFailure: string | null = null;

  constructor(deps: LivenessDeps) {
    this.#deps = deps;
  }

  get state(): FeedState {
    return this.#state;
  }

  /** Why the feed is not connected or not live; null: it is live, or nothing has failed yet. */
  get lastFailure(): string | null {
    return this.#lastFailure;
  }

  /** Milliseconds since the last proof; Infinity: never proved. */
  silenceMs(): number {
    return this.#deps.clock.monotonicMs() - this.#provedAtMs;
  }

  /** Logs and publishes a change of state. */
  become(state: FeedState, reason: string): void {
    if (this.#state === state) return;
    const before = this.#state;
    this.#state = state;
    const isBetter = state === 'live' || before === 'lost';
    this.#deps.log(isBetter ? 'info' : 'warn', `the feed is ${state}`, { before, reason });
    this.publish();
  }

  /**
   * Records a proof that the feed was at its head at `askedAtMonotonicMs`, and returns whether the feed is live. The
   * proof does not make it live if its connection has ended, or if the proof is older than `max-silence`.
   */
  prove(askedAtMonotonicMs: number, isConnected: boolean): boolean {
    this.#provedAtMs = Math.max(
      this.#provedAtMs,
      Math.min(askedAtMonotonicMs, this.#deps.clock.monotonicMs()),
    );
    if (!isConnected || this.#isSilent()) {
      this.publish();
      return false;
    }
    this.#lastFailure = null;
    if (this.#state === 'live') this.publish();
    else this.become('live', 'at its head');
    return true;
  }

  /**
   * Ends `live` after `max-silence` without a proof, even if other messages arrive. `openedAtMs`: when the connection
   * was opened, on the monotonic clock; null: there is none.
   */
  expire(openedAtMs: number | null): void {
    if (!this.#isSilent()) return;
    if (this.#state === 'live') this.become('catching-up', unproved);
    const connectedMs = this.#deps.clock.monotonicMs() - (openedAtMs ?? Infinity);
    if (this.#state === 'catching-up' && connectedMs > this.#deps.config.maxSilenceMs) {
      this.#lastFailure = unproved;
    }
  }

  /** Records why a connection failed. A repeated reason is logged at debug level. */
  failed(failure: FeedFailure): void {
    const isNew = this.#lastFailure !== failure.message;
    this.#lastFailure = failure.message;
    this.#deps.log(isNew ? 'warn' : 'debug', 'the feed is not connected', {
      kind: failure.kind,
      reason: failure.message,
      retry: failure.retry,
    });
  }

  publish(): void {
    this.#deps.health.set(this.#deps.config.name, {
      state: this.#state,
      silentSinceMonotonicMs: this.#provedAtMs,
    });
  }

  #isSilent(): boolean {
    return this.silenceMs() > this.#deps.config.maxSilenceMs;
  }
}

const unproved = 'not proved to be at its head for longer than max-silence';

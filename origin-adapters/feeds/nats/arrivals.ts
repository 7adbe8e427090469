import { BatchSize } from '../batch-size.ts';
import type { FeedClock } from '../feed.ts';

export interface ArrivalsSource<Message> {
  readonly clock: FeedClock;
  readonly signal: AbortSignal;
  /** Requests at most `messages` messages. Ends when all have arrived, or when the server ends the request. */
  fetch(messages: number): Promise<AsyncIterable<Message>>;
  bytesOf(message: Message): number;
  /** Why the last fetch ended; null: it ended normally. */
  whyEnded(): Error | null;
}

/**
 * Buffers messages between the consumer and the reader. The next batch is requested when all messages of the last one
 * were taken, so that the reader can also wait for other events.
 */
export class Arrivals<Message> {
  readonly #source: ArrivalsSource<Message>;
  readonly #batch = new BatchSize();
  #messages: Message[] = [];
  #failure: unknown = null;
  #onArrival: () => void = nothing;
  #onEmpty: () => void = nothing;

  constructor(source: ArrivalsSource<Message>) {
    this.#source = source;
    source.signal.addEventListener('abort', () => this.#fail(source.signal.reason), { once: true });
    this.#fetchAll().catch((error: unknown) => this.#fail(error));
  }

  get isEmpty(): boolean {
    return this.#messages.length === 0;
  }

  /** The next message; null: none has arrived. Throws the reason if no more will arrive. */
  take(): Message | null {
    const message = this.#messages.shift();
    if (message !== undefined) return message;
    if (this.#failure !== null) throw this.#failure;
    this.#onEmpty();
    return null;
  }

  /** Resolves when a message can be taken, or after `mostMs`. */
  async wait(mostMs: number): Promise<void> {
    if (!this.isEmpty || this.#failure !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#source.clock.schedule(mostMs, resolve);
    this.#onArrival = resolve;
    await promise;
    this.#onArrival = nothing;
    cancel();
  }

  async #fetchAll(): Promise<void> {
    while (this.#failure === null) {
      let messages = 0;
      let bytes = 0;
      for await (const message of await this.#source.fetch(this.#batch.messages)) {
        messages += 1;
        bytes += this.#source.bytesOf(message);
        this.#messages.push(message);
        this.#onArrival();
      }
      const why = this.#source.whyEnded();
      if (why !== null) throw why;
      this.#batch.learn(messages, bytes);
      if (!this.isEmpty) await this.#untilEmpty();
    }
  }

  #untilEmpty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = () => {
        this.#onEmpty = nothing;
        resolve();
      };
    });
  }

  #fail(reason: unknown): void {
    this.#failure ??= reason;
    this.#onArrival();
    this.#onEmpty();
  }
}

function nothing(): void {
  // Replaced while a caller waits.
}

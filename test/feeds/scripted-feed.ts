import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';

/** A feed whose events come from the test. */
export class ScriptedFeed implements Feed {
  readonly opened: Opening[] = [];
  readonly acknowledged: string[] = [];
  /** Events that the runner has requested. */
  taken = 0;
  isOpen = false;
  /** A connection closes once this resolves. */
  closing: Promise<void> = Promise.resolve();

  get latest(): Opening {
    return this.opened.at(-1)!;
  }

  async *open(after: string | null, signal: AbortSignal): AsyncIterable<FeedEvent> {
    if (this.isOpen) throw new Error('opened twice');
    this.isOpen = true;
    const opening = new Opening(after, signal);
    this.opened.push(opening);
    try {
      for (;;) {
        const event = await opening.next();
        if (event === null) return;
        this.taken += 1;
        yield event;
      }
    } finally {
      await this.closing;
      this.isOpen = false;
    }
  }

  acknowledge(position: string): void {
    this.acknowledged.push(position);
  }

  say(...events: readonly FeedEvent[]): void {
    this.latest.say(events);
  }
}

class Opening {
  readonly after: string | null;
  readonly signal: AbortSignal;
  #events: FeedEvent[] = [];
  #hasEnded = false;
  #error: Error | null = null;
  #wake: () => void = () => undefined;

  constructor(after: string | null, signal: AbortSignal) {
    this.after = after;
    this.signal = signal;
    signal.addEventListener('abort', () => this.end());
  }

  say(events: readonly FeedEvent[]): void {
    this.#events.push(...events);
    this.#wake();
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  break(error: Error): void {
    this.#error = error;
    this.#wake();
  }

  async next(): Promise<FeedEvent | null> {
    for (;;) {
      if (this.signal.aborted) return null;
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (this.#error !== null) throw this.#error;
      if (this.#hasEnded) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

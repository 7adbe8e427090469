import type { OriginResponse } from '../journal/record.ts';

/** The clients that wait for the origin's response to their write, by the write's number. */
export class ResponseWaiters {
  readonly #waiting = new Map<number, Set<(response: OriginResponse | null) => void>>();
  #isClosed = false;

  /** Resolves with the origin's response, or with null if none arrives within `waitMs`. */
  wait(number: number, waitMs: number): Promise<OriginResponse | null> {
    if (this.#isClosed) return Promise.resolve(null);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(number) ?? new Set();
      this.#waiting.set(number, waiting);
      const end = (response: OriginResponse | null): void => {
        clearTimeout(timer);
        waiting.delete(end);
        if (waiting.size === 0) this.#waiting.delete(number);
        resolve(response);
      };
      const timer = setTimeout(() => end(null), waitMs);
      waiting.add(end);
    });
  }

  /** Ends the waits for a finished write. `response` is null: there is none, or it is too large to be kept. */
  settle(number: number, response: OriginResponse | null): void {
    for (const end of this.#waiting.get(number) ?? []) end(response);
  }

  /** Ends every wait without a response, including waits that begin later. */
  close(): void {
    this.#isClosed = true;
    for (const waiting of this.#waiting.values()) for (const end of waiting) end(null);
  }
}

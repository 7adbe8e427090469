import type { OriginResponse } from '../journal/record.ts';

/** Clients that wait for the origin's own answer to a write that was accepted. */
export class ResponseWaiters {
  readonly #waiting = new Map<number, Set<(answer: OriginResponse | null) => void>>();
  #isClosed = false;

  /** Resolves with the origin's own answer, or null where it does not come in time. */
  to(number: number, waitMs: number): Promise<OriginResponse | null> {
    if (this.#isClosed) return Promise.resolve(null);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(number) ?? new Set();
      this.#waiting.set(number, waiting);
      const take = (answer: OriginResponse | null): void => {
        clearTimeout(timer);
        waiting.delete(take);
        if (waiting.size === 0) this.#waiting.delete(number);
        resolve(answer);
      };
      const timer = setTimeout(() => take(null), waitMs);
      waiting.add(take);
    });
  }

  give(number: number, answer: OriginResponse | null): void {
    for (const take of this.#waiting.get(number) ?? []) take(answer);
  }

  /** Nobody is to wait any more. */
  close(): void {
    this.#isClosed = true;
    for (const waiting of this.#waiting.values()) for (const take of waiting) take(null);
  }
}

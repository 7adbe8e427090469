/**
 * Orphaned chunks: those without a row, which wait for deletion. A worker reads a body over many turns of its loop,
 * each time by a new snapshot, so the chunks of a removed entry stay until nobody reads it.
 */
import { pagesOf } from './quota.ts';

interface Waiting {
  readonly readyAtMs: number;
  readonly pages: number;
}

export class OrphanedChunks {
  readonly #waiting = new Map<string, Waiting>();
  readonly #pins = new Map<string, number>();
  #pages = 0;

  /** Pages that deletion will free. */
  get pages(): number {
    return this.#pages;
  }

  /**
   * `readyAtMs`: monotonic; before it they are not deleted, so that a reader that has just found the entry can pin it.
   */
  add(id: string, sizeBytes: number, readyAtMs: number): void {
    this.delete(id);
    const pages = pagesOf(sizeBytes);
    this.#waiting.set(id, { readyAtMs, pages });
    this.#pages += pages;
  }

  delete(id: string): void {
    this.#pages -= this.#waiting.get(id)?.pages ?? 0;
    this.#waiting.delete(id);
  }

  /** Counts one more reader of the entry. */
  pin(id: string): void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
  }

  /** Counts one reader less. True: it was the last, and the entry's chunks wait for deletion. */
  unpin(id: string): boolean {
    const count = this.#pins.get(id) ?? 0;
    if (count > 1) this.#pins.set(id, count - 1);
    else this.#pins.delete(id);
    return count === 1 && this.#waiting.has(id);
  }

  /** The id of an entry whose chunks may be deleted now; null: there is none. */
  due(nowMs: number): string | null {
    const next = this.#next();
    return next !== null && next.readyAtMs <= nowMs ? next.id : null;
  }

  /** Milliseconds until `due` gives one; null: there is none, or all of them are read. */
  untilDueMs(nowMs: number): number | null {
    const next = this.#next();
    return next === null ? null : Math.max(0, next.readyAtMs - nowMs);
  }

  /** The first that nobody reads. They were added in the order of `readyAtMs`. */
  #next(): { readonly id: string; readonly readyAtMs: number } | null {
    for (const [id, { readyAtMs }] of this.#waiting) {
      if (!this.#pins.has(id)) return { id, readyAtMs };
    }
    return null;
  }
}

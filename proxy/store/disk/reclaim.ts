/**
 * Chunks without a head, which wait for their deletion: a body streams over many turns of a worker's loop without holding
 * a snapshot, so the chunks of a removed entry stay until nobody reads them.
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

  /** `readyAtMs`: not deleted before, so that a reader who has just found the entry can still pin it. */
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

  /** Somebody reads this entry; counted. */
  pin(id: string): void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
  }

  /** True: it waits, and may be deleted now for all its readers. */
  unpin(id: string): boolean {
    const count = this.#pins.get(id) ?? 0;
    if (count > 1) this.#pins.set(id, count - 1);
    else this.#pins.delete(id);
    return count === 1 && this.#waiting.has(id);
  }

  /** One that may be deleted now. */
  due(nowMs: number): string | null {
    const next = this.#next();
    return next !== null && next.readyAtMs <= nowMs ? next.id : null;
  }

  /** Milliseconds until one that nobody reads may be deleted; null: there is none. */
  untilDueMs(nowMs: number): number | null {
    const next = this.#next();
    return next === null ? null : Math.max(0, next.readyAtMs - nowMs);
  }

  /** They were added in the order in which they get ready. */
  #next(): { readonly id: string; readonly readyAtMs: number } | null {
    for (const [id, { readyAtMs }] of this.#waiting) {
      if (!this.#pins.has(id)) return { id, readyAtMs };
    }
    return null;
  }
}

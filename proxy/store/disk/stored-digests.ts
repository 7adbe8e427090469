/**
 * The writer's part in `KnownDigests`: counts the rows that a start finds, in slices, and keeps the count while
 * transactions add and remove entries. Its functions run between transactions.
 */
import type { Table } from './environment.ts';
import type { KnownDigests } from './known-digests.ts';
import { variantCount } from './row.ts';

export class StoredDigests {
  readonly #rows: Table;
  readonly #known: KnownDigests;
  /** Rows up to this digest are counted; null: all are. */
  #countedTo: Buffer | null = Buffer.alloc(0);

  constructor(rows: Table, known: KnownDigests) {
    this.#rows = rows;
    this.#known = known;
  }

  /** Whether nothing is left to count. */
  get isOver(): boolean {
    return this.#countedTo === null;
  }

  /**
   * Counts rows until then, by the monotonic clock, and at least one. Where LMDB can't read them all, every key is looked
   * for until the next start.
   */
  countUntil(deadlineMs: number): void {
    try {
      if (this.#countedTo !== null) this.#count(this.#countedTo, deadlineMs);
    } catch {
      this.#countedTo = null;
    }
  }

  /** An entry was committed, for which a worker has raised the counters. */
  inserted(digest: Buffer): void {
    if (this.#isStillToCount(digest)) this.#known.lower(digest);
  }

  removed(digest: Buffer): void {
    if (!this.#isStillToCount(digest)) this.#known.lower(digest);
  }

  /** An entry was not stored, for which a worker has raised the counters. */
  refused(digest: Buffer): void {
    this.#known.lower(digest);
  }

  #count(from: Buffer, deadlineMs: number): void {
    const range = from.length === 0 ? {} : { start: from, exclusiveStart: true };
    for (const { key, value } of this.#rows.getRange(range)) {
      for (let left = variantCount(value); left > 0; left -= 1) this.#known.raise(key);
      this.#countedTo = key;
      if (performance.now() >= deadlineMs) return;
    }
    this.#countedTo = null;
    this.#known.complete();
  }

  #isStillToCount(digest: Buffer): boolean {
    return this.#countedTo !== null && digest.compare(this.#countedTo) > 0;
  }
}

/**
 * How much room the cache has, in pages as the file system sees them. LMDB never gives a page back, so the file's size
 * is the most that was ever in use, and more where free pages lie in runs too short for a chunk; what is in use must
 * therefore stay clear of the bound.
 */
import { PAGE_BYTES } from './format.ts';
import type { PageCounts } from './environment.ts';

/** Of the bound: what is in use above it is evicted, so that a tenth stays free. */
const CEILING = 0.9;
/** Of the bound: nothing is stored above it. Between the two lies what waits for its readers before it is deleted. */
const LIMIT = 0.95;
/** Of the bound: a file beyond it means that free pages can't be used as they lie, and more must be free. */
const CROWDED = 0.97;
/** Of the bound: for each such growth of a crowded file the ceiling is lowered by the step. */
const CROWDED_GROWTH = 0.005;
const CEILING_STEP = 0.06;
const LOWEST_CEILING = 0.5;
/** Beside its chunks, a transaction copies the path to each leaf that it changes. */
const TREE_PAGES = 32;

export class Room {
  /** Bytes that one transaction may write. */
  readonly batchBytes: number;
  /** Content bytes that one entry may have: a larger one would empty the cache for itself. */
  readonly entryBytes: number;

  readonly #boundPages: number;
  #ceiling = CEILING;
  #crowdedFilePages: number;

  constructor(sizeBytes: number) {
    this.#boundPages = Math.floor(sizeBytes / PAGE_BYTES);
    this.batchBytes = Math.min(2 * 1024 * 1024, Math.floor(sizeBytes / 32));
    this.entryBytes = Math.floor(sizeBytes / 2);
    this.#crowdedFilePages = Math.floor(this.#boundPages * CROWDED);
  }

  /** Takes note of the file's growth, after each commit. */
  observe(counts: PageCounts): void {
    if (counts.file <= this.#crowdedFilePages) return;
    this.#crowdedFilePages = counts.file + Math.ceil(this.#boundPages * CROWDED_GROWTH);
    this.#ceiling = Math.max(LOWEST_CEILING, this.#ceiling - CEILING_STEP);
  }

  /** Pages' worth of entries that must go; none where it is not positive. `leavingPages`: about to be deleted anyway. */
  excessPages(counts: PageCounts, leavingPages: number): number {
    return counts.used - leavingPages + this.#batchPages() - Math.floor(this.#boundPages * this.#ceiling);
  }

  /** Whether a transaction that writes `bytes` may be begun. */
  admits(counts: PageCounts, bytes: number): boolean {
    const needed = Math.ceil(bytes / PAGE_BYTES) + TREE_PAGES;
    if (counts.file + needed <= this.#boundPages) return counts.used + needed <= this.#boundPages * LIMIT;
    // The file is as large as it may be: only what surely fits between the entries may be written.
    return (
      counts.used + needed <= this.#boundPages * (this.#ceiling + LIMIT - CEILING) &&
      counts.file < this.#boundPages
    );
  }

  #batchPages(): number {
    return Math.ceil(this.batchBytes / PAGE_BYTES) + TREE_PAGES;
  }
}

/** Pages that a content of this size takes, without the tree's. */
export function pagesOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES);
}

/**
 * The room of the cache, in pages of its file. LMDB never gives a page back: the file is as large as the most that was
 * ever in use, and larger where free pages lie in runs too short for a chunk. So the pages in use must stay clear of
 * the bound. Constants are shares of the size or of the bound.
 */
import { PAGE_BYTES } from '../../state/file-check.ts';
import type { PageCounts } from './environment.ts';

/** Of the size: the aim, which leaves room for a transaction's error. */
const BOUND = 0.99;
/** Of the bound: pages in use above it are freed by eviction, so that a tenth stays free. */
const CEILING = 0.9;
/** Of the bound: nothing is stored above it. Between it and the ceiling lie orphaned chunks that are still read. */
const LIMIT = 0.95;
/** Of the bound: so much below the ceiling, room is ample. */
const AMPLE = 0.05;
/** Of the bound: in a larger file free pages lie in runs too short for a chunk, and more of them must be free. */
const CROWDED = 0.97;
/** The ceiling for a file that has reached the bound. */
const CROWDED_CEILING = 0.5;
/** The ceiling for a file that is larger than the size by `OVERSIZE` of it: LMDB finds room in it for any chunk. */
const LOWEST_CEILING = 0.25;
const OVERSIZE = 0.05;
/** The most pages that a transaction of removals changes, in all tables. */
const REMOVAL_PAGES = 256;
/** Besides its chunks, a transaction copies the path to each leaf that it changes. */
const TREE_PAGES = 32;

export class DiskQuota {
  /** Content bytes that one transaction may write. */
  readonly batchBytes: number;
  /** Content bytes that one entry may have: a larger one would empty the cache for itself. */
  readonly entryBytes: number;

  readonly #sizePages: number;
  readonly #boundPages: number;
  #now: PageCounts = { used: 0, file: 0 };
  #usedBefore = 0;
  #isPinned = false;

  constructor(sizeBytes: number) {
    this.#sizePages = Math.floor(sizeBytes / PAGE_BYTES);
    this.#boundPages = Math.floor(this.#sizePages * BOUND);
    this.batchBytes = Math.min(1024 * 1024, Math.floor(sizeBytes / 64));
    this.entryBytes = Math.floor(sizeBytes / 2);
  }

  /**
   * To be called after each transaction. `snapshotLag`: how many commits the oldest open snapshot lies behind; asked
   * for only where the next transaction could take the file over its bound.
   */
  observe(counts: PageCounts, snapshotLag: () => number): void {
    this.#usedBefore = this.#now.used;
    this.#now = counts;
    const nextPages = this.#pagesFor(this.batchBytes) + REMOVAL_PAGES;
    this.#isPinned = counts.file + nextPages > this.#boundPages && snapshotLag() > 1;
  }

  /**
   * An open snapshot keeps freed pages from reuse, and the file has no room for new ones. Eviction and deletion would
   * take pages and free none.
   */
  get isPinned(): boolean {
    return this.#isPinned;
  }

  /** Pages that eviction must free; none where it is not positive. `leavingPages`: of orphaned chunks. */
  excessPages(leavingPages: number): number {
    return this.#now.used - leavingPages + this.#pagesFor(this.batchBytes) - this.#ceilingPages();
  }

  /** Whether there is ample room without eviction. */
  isAmple(leavingPages: number): boolean {
    return this.excessPages(leavingPages) + this.#boundPages * AMPLE <= 0;
  }

  /** Whether a transaction that adds `bytes` of content may begin. */
  admits(bytes: number, leavingPages: number): boolean {
    // Pages that the last transaction freed can't be reused before its sync has ended.
    const used = Math.max(this.#now.used, this.#usedBefore) + this.#pagesFor(bytes);
    if (this.#isPinned) return false;
    return used - leavingPages <= this.#ceilingPages() && used <= this.#boundPages * LIMIT;
  }

  /** Whether pages were freed that can be reused after one more transaction. */
  get isSettling(): boolean {
    return this.#usedBefore > this.#now.used;
  }

  #ceilingPages(): number {
    const crowding = clamp((this.#now.file / this.#boundPages - CROWDED) / (1 - CROWDED));
    const excess = clamp((this.#now.file / this.#sizePages - 1) / OVERSIZE);
    const share =
      CEILING - crowding * (CEILING - CROWDED_CEILING) - excess * (CROWDED_CEILING - LOWEST_CEILING);
    return Math.floor(this.#boundPages * share);
  }

  #pagesFor(bytes: number): number {
    return Math.ceil(bytes / PAGE_BYTES) + TREE_PAGES;
  }
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}

/** Pages that content of this size takes, without those of the tree. */
export function pagesOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES);
}

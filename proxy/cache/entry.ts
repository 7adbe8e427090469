import type { StoredMeta } from '../../policies/model.ts';

/** One stored response without its content. */
export interface EntryHead {
  /** 16 hexadecimal digits, unique over boots and workers. */
  readonly id: string;
  /** The primary cache key; variants of it share it. */
  readonly key: string;
  readonly route: string;
  readonly origin: string;
  /** Absolute, or a path where the origin sees no host; for operators. */
  readonly url: string;
  readonly meta: StoredMeta;
  /** Names, for operators; the fence judges by `tagHashes`. */
  readonly tags: readonly string[];
  /** Pairs: bucket hash, fingerprint. */
  readonly tagHashes: Uint32Array;
  /** The fence's sequence before the request was sent to the origin; a safe integer. */
  readonly floor: number;
  /**
   * Fetched so soon after an invalidation of its tags that the origin may have answered with the old state: to be
   * revalidated before it is used.
   */
  readonly unproven: boolean;
  /** Length of the content. */
  readonly sizeBytes: number;
  /** Goes only after all others when room is needed. */
  readonly evictLast: boolean;
}

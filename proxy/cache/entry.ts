import type { StoredMeta } from '../../policies/model.ts';
import { hashTags } from '../fence/tag-hash.ts';

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

/**
 * What is known of an entry when `changed` is learnt of it. Two flights may have asked about it at a time, and end in any
 * order: the higher floor counts, and no tag that either has found is lost.
 */
export function mergedHead(known: EntryHead, changed: EntryHead): EntryHead {
  const tags = [...new Set([...known.tags, ...changed.tags])];
  return {
    ...changed,
    tags,
    tagHashes: tags.length === changed.tags.length ? changed.tagHashes : hashTags(tags),
    floor: Math.max(known.floor, changed.floor),
    unproven: isUnproven(known, changed),
  };
}

function isUnproven(known: EntryHead, changed: EntryHead): boolean {
  if (known.floor === changed.floor) return known.unproven && changed.unproven;
  return (known.floor > changed.floor ? known : changed).unproven;
}

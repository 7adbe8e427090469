import type { OriginConfig, RouteConfig } from '../../policies/config/config.ts';
import { withoutFields, type Fields } from '../../policies/http/fields.ts';
import { originForm } from '../../policies/key.ts';
import type { StoredMeta } from '../../policies/model.ts';
import { joinedTags, withTags, type TagHasher } from '../fence/tag-hash.ts';

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
  /** Names, for operators. The fence judges by `tagHashes`. */
  readonly tags: readonly string[];
  /** Pairs: bucket hash, fingerprint. */
  readonly tagHashes: Uint32Array;
  /** The fence's sequence before the request was sent to the origin; a safe integer. */
  readonly floor: number;
  /**
   * Possibly stale: fetched within the read lag after an invalidation of its tags, so that the origin may have answered
   * with the old state. It must be revalidated before it is used.
   */
  readonly possiblyStale: boolean;
  /** Length of the content; -1: not known yet. */
  readonly sizeBytes: number;
  /** Evicted only after all entries without it. */
  readonly evictLast: boolean;
}

/** What an entry answers. */
export interface EntryTarget {
  readonly key: string;
  readonly scheme: string;
  /** Effective, of the client's request. */
  readonly authority: string;
  readonly path: string;
  /** As keyed. */
  readonly query: string;
}

/** The head of a new entry of the route for the target. */
export function newEntryHead(
  { config, originConfig }: { readonly config: RouteConfig; readonly originConfig: OriginConfig },
  { key, scheme, authority, path, query }: EntryTarget,
  entry: Omit<EntryHead, 'key' | 'route' | 'origin' | 'url' | 'evictLast'>,
): EntryHead {
  const site = originConfig.hostHeader === 'client' ? `${scheme}://${authority}` : '';
  return {
    ...entry,
    key,
    route: config.name,
    origin: config.origin,
    url: `${site}${originForm(path, query)}`,
    evictLast: config.cache.evict === 'last',
  };
}

/**
 * Whether `a` is of a later answer than `b`, an entry of the same variant: by floor, then by the time of the request.
 */
export function isLater(a: EntryHead, b: EntryHead): boolean {
  if (a.floor !== b.floor) return a.floor > b.floor;
  return a.meta.requestTimeMs > b.meta.requestTimeMs;
}

/** The head with new metadata from an answer, whose tags and `more` are added. No tag is removed. */
export function updatedHead(
  head: EntryHead,
  meta: StoredMeta,
  hasher: TagHasher,
  more: readonly string[] = [],
): EntryHead {
  const { tags, tagHashes } = withTags(head, [...more, ...meta.responseTags], hasher);
  return { ...head, meta, tags, tagHashes };
}

/** Whether the answer names a tag that copies of the entry elsewhere do not have. */
export function namesNewTags(head: EntryHead, meta: StoredMeta): boolean {
  return meta.responseTags.some((tag) => !head.tags.includes(tag));
}

/** Whether the answer changes fields other than Age, Date and Expires. */
export function changesFields(head: EntryHead, meta: StoredMeta): boolean {
  return linesOf(head.meta.fields) !== linesOf(meta.fields);
}

/**
 * Merges two heads of one entry. Two flights may have validated it at the same time and end in any order: the higher
 * floor counts, and the tags of both are kept.
 */
export function mergedHead(known: EntryHead, changed: EntryHead): EntryHead {
  const latest = known.floor > changed.floor ? known : changed;
  return {
    ...latest,
    ...joinedTags(latest, latest === known ? changed : known),
    possiblyStale: latest.possiblyStale && (known.floor !== changed.floor || known.possiblyStale),
  };
}

const TIMES: ReadonlySet<string> = new Set(['age', 'date', 'expires']);

/** Sorted, since an update moves the fields that it brings behind the others. */
function linesOf(fields: Fields): string {
  const lines: string[] = [];
  const kept = withoutFields(fields, TIMES);
  for (let i = 0; i < kept.length; i += 2) lines.push(`${kept[i]!.toLowerCase()}: ${kept[i + 1]!}`);
  return lines.toSorted().join('\n');
}

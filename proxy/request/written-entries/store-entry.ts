import type { StoredMeta } from '../../../policies/model.ts';
import { entryTags } from '../../../policies/tags.ts';
import { newEntryHead } from '../../store/entry-head.ts';
import type { Tiers } from '../../store/tiers.ts';
import type { Clock } from '../../threads/clock.ts';
import type { TagHasher } from '../../fence/tag-hash.ts';
import { FlightBody } from '../../store/body.ts';
import { EntryWriter } from '../../store/entry-writer.ts';
import { keyOfContext, type RoutedContext } from '../context.ts';

/** Where the entry from a write is stored. */
export interface EntryStore {
  readonly tiers: Tiers;
  readonly clock: Clock;
  readonly hasher: TagHasher;
  newEntryId(): string;
}

/** The most content of an entry from a write, as all of it is held in memory until it is stored. */
export const MAX_ENTRY_BYTES = 2 ** 20;

/** The entry that a write has brought, for a GET of its target. */
export interface WriteResponseEntry {
  readonly meta: StoredMeta;
  readonly tags: readonly string[];
  /** The sequence of the write's own invalidation. */
  readonly floor: number;
  readonly content: Uint8Array;
}

/** The tags of the entry for a GET of the request's target. */
export function tagsOfTarget(context: RoutedContext, meta: StoredMeta): readonly string[] {
  const { route, authority, path, query, params } = context;
  const known = entryTags({
    authority,
    path,
    query,
    route: route.config.name,
    origin: route.config.origin,
    feed: route.feed?.name ?? null,
    extra: route.tagsFor(params),
  });
  return [...new Set([...known, ...meta.responseTags])];
}

/** Stores the entry in the tiers, unless they have a later one. */
export function storeEntry(
  context: RoutedContext,
  entryStore: EntryStore,
  written: WriteResponseEntry,
): void {
  const { route, authority, scheme, path } = context;
  const { tiers, newEntryId } = entryStore;
  const { meta, tags, floor, content } = written;
  const target = { ...keyOfContext(context), scheme, authority, path };
  const head = newEntryHead(route, target, {
    id: newEntryId(),
    meta,
    tags,
    tagHashes: entryStore.hasher.hash(tags),
    floor,
    possiblyStale: false,
    sizeBytes: content.length,
  });
  const writer = EntryWriter.begin(head, {
    tiers,
    maxObjectBytes: MAX_ENTRY_BYTES,
    maxVariants: route.config.cache.maxVariants,
    toDisk: true,
    newEntryId: null,
    over: () => {},
  });
  if (writer === null) return;
  const body = new FlightBody({
    windowBytes: MAX_ENTRY_BYTES,
    keepsAll: writer.inMemory,
    isStored: writer.onDisk,
    pause: () => {},
    resume: () => {},
    onDeserted: () => {},
  });
  writer.attach(body);
  if (content.length > 0) {
    body.append(content);
    writer.append(content);
  }
  writer.finish([]);
}

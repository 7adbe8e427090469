import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FeedClock, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import type { Change } from '../../policies/change.ts';
import { highestOf, versionOf } from '../../policies/feed-version.ts';
import type { MappedChange, Mapping } from '../../policies/mapping.ts';
import type { FeedInvalidation } from './sink.ts';

/** The effect of one feed event, which the runner applies. */
export type ChangeBatch =
  | InvalidationBatch
  | { readonly kind: 'head'; readonly position: string | null; readonly askedAtMonotonicMs: number };

export interface InvalidationBatch {
  readonly kind: 'invalidate';
  readonly as: FeedInvalidation['kind'];
  readonly tags: readonly string[];
  readonly position: string | null;
  /** The highest version of its changes; null: none has one. */
  readonly version: bigint | null;
  /** Why the feed's scope is invalidated; empty for `change`. */
  readonly reason: string;
  readonly changes: number;
  readonly unmapped: number;
  readonly isUnintelligible: boolean;
  readonly receivedAtMs: number;
  readonly committedAtMs: number | null;
}

/** A transaction with more tags invalidates the feed's scope instead. */
export const MAX_TAGS = 100_000;
/** How long changes are mapped before the event loop gets a turn. */
const SLICE_MS = 3;

export interface BatchContext {
  /** The dotted path of a change's version; null: changes have none. */
  readonly versionField: string | null;
  readonly clock: Pick<FeedClock, 'monotonicMs'>;
  readonly mapping: Mapping;
  /** The tags that cover everything the feed may change. */
  readonly scope: readonly string[];
  /** The fence's tags for what a change names. */
  tagsOf(named: Pick<MappedChange, 'tags' | 'urls' | 'prefixes'>): readonly string[];
  /** Called for changes that the map does not cover, or that lack values for its templates. */
  readonly warnings?: {
    unmapped(change: Change): void;
    incomplete(change: Change, missing: readonly string[]): void;
  };
}

/**
 * The batch of an event; null: there is nothing to do. `nowMs` is the wall clock. A large transaction is mapped in
 * several turns of the event loop.
 */
export async function batchOf(
  event: Exclude<FeedEvent, { kind: 'failed' }>,
  context: BatchContext,
  nowMs: number,
): Promise<ChangeBatch | null> {
  switch (event.kind) {
    case 'change':
      return transactionBatch(event, context, nowMs);
    case 'unintelligible':
      return {
        ...scopeBatch('scope', event.position, event.reason, context, nowMs),
        isUnintelligible: true,
      };
    case 'gap':
      return scopeBatch('gap', event.position, event.reason, context, nowMs);
    case 'head':
      return event;
    case 'behind':
      return null;
    default:
      return event satisfies never;
  }
}

export function scopeBatch(
  as: 'gap' | 'scope',
  position: string | null,
  reason: string,
  context: BatchContext,
  nowMs: number,
): InvalidationBatch {
  return {
    kind: 'invalidate',
    as,
    tags: context.scope,
    position,
    version: null,
    reason,
    changes: 0,
    unmapped: 0,
    isUnintelligible: false,
    receivedAtMs: nowMs,
    committedAtMs: null,
  };
}

/** The tags of a whole transaction are one batch, so that they are applied at once. */
async function transactionBatch(
  event: Extract<FeedEvent, { kind: 'change' }>,
  context: BatchContext,
  nowMs: number,
): Promise<InvalidationBatch> {
  const { versionField } = context;
  const tags = new Set<string>();
  const missing = new Set<string>();
  let unmapped = 0;
  let version: bigint | null = null;
  let sliceEndsAtMs = context.clock.monotonicMs() + SLICE_MS;
  for (const change of event.changes) {
    const mapped = context.mapping.mapChange(change);
    for (const tag of context.tagsOf(mapped)) tags.add(tag);
    for (const name of mapped.missing) missing.add(name);
    if (mapped.missing.length > 0) context.warnings?.incomplete(change, mapped.missing);
    if (mapped.unmapped) {
      unmapped += 1;
      context.warnings?.unmapped(change);
    } else if (versionField !== null) version = highestOf([version, versionOf(change, versionField)]);
    if (tags.size > MAX_TAGS) break;
    if (context.clock.monotonicMs() < sliceEndsAtMs) continue;
    await nextTurn();
    sliceEndsAtMs = context.clock.monotonicMs() + SLICE_MS;
  }
  return {
    kind: 'invalidate',
    ...namedTags(tags, missing, context.scope),
    position: event.position,
    // The transaction was not mapped to its end, so its highest version is unknown.
    version: tags.size > MAX_TAGS ? null : version,
    changes: event.changes.length,
    unmapped,
    isUnintelligible: false,
    receivedAtMs: nowMs,
    committedAtMs: event.committedAtMs ?? null,
  };
}

/** The tags that the changes name, or the feed's scope if they are too many or not fully known. */
function namedTags(
  tags: ReadonlySet<string>,
  missing: ReadonlySet<string>,
  scope: readonly string[],
): Pick<InvalidationBatch, 'as' | 'tags' | 'reason'> {
  if (tags.size > MAX_TAGS) {
    return { as: 'scope', tags: scope, reason: `a transaction names more than ${MAX_TAGS} tags` };
  }
  if (missing.size > 0) {
    const reason = `a change has no value for ${[...missing].join(', ')}`;
    return { as: 'scope', tags: [...new Set([...tags, ...scope])], reason };
  }
  return { as: 'change', tags: [...tags], reason: '' };
}

/**
 * Groups batches that can be applied in one call, in order. Batches of one kind are grouped as long as the call has at
 * most `maxTags` tags. A batch is never split.
 */
export function groupBatches(batches: readonly InvalidationBatch[], maxTags: number): InvalidationBatch[][] {
  const groups: InvalidationBatch[][] = [];
  let tags = 0;
  for (const batch of batches) {
    const last = groups.at(-1);
    if (last !== undefined && last[0]!.as === batch.as && tags + batch.tags.length <= maxTags) {
      last.push(batch);
      tags += batch.tags.length;
    } else {
      groups.push([batch]);
      tags = batch.tags.length;
    }
  }
  return groups;
}

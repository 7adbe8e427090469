import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FeedClock, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import type { Change } from '../../policies/change.ts';
import { highestOf, versionOf } from '../../policies/feed-version.ts';
import type { MappedChange, Mapping } from '../../policies/mapping.ts';
import type { FeedInvalidation } from './sink.ts';

/** What one event of a feed asks the runner to do, in the feed's order. */
export type ChangeBatch =
  | InvalidationBatch
  | { readonly kind: 'head'; readonly position: string | null; readonly askedAtMonotonicMs: number };

export interface InvalidationBatch {
  readonly kind: 'invalidate';
  readonly as: FeedInvalidation['kind'];
  readonly tags: readonly string[];
  readonly position: string | null;
  /** The highest that its changes tell; null: none. */
  readonly version: bigint | null;
  /** Why more than what changes named is invalidated; empty for `change`. */
  readonly reason: string;
  readonly changes: number;
  readonly unmapped: number;
  readonly isUnintelligible: boolean;
  readonly receivedAtMs: number;
  readonly committedAtMs: number | null;
}

/** The most tags that one transaction may name; beyond it the feed's scope stands for them. */
export const MAX_TAGS = 100_000;
/** How long changes are mapped at a time before others have their turn. */
const SLICE_MS = 3;

export interface BatchMaker {
  /** Where changes tell their version; null: they do not. */
  readonly versionField: string | null;
  readonly clock: Pick<FeedClock, 'monotonicMs'>;
  readonly mapping: Mapping;
  /** What stands for the whole of what the feed may change. */
  readonly scope: readonly string[];
  /** The tags under which the fence knows what a change named. */
  tagsOf(named: Pick<MappedChange, 'tags' | 'urls' | 'prefixes'>): readonly string[];
  /** Hears of changes that the map does not take, or not with all that it needs. Absent: nobody does. */
  readonly odd?: {
    unmapped(change: Change): void;
    incomplete(change: Change, missing: readonly string[]): void;
  };
}

/** The step of an event; null where it asks for nothing. `nowMs`: wall clock. Large transactions take several turns. */
export async function batchOf(
  event: Exclude<FeedEvent, { kind: 'failed' }>,
  maker: BatchMaker,
  nowMs: number,
): Promise<ChangeBatch | null> {
  switch (event.kind) {
    case 'change':
      return changeStep(event, maker, nowMs);
    case 'unintelligible':
      return {
        ...scopeBatch('scope', event.position, event.reason, maker, nowMs),
        isUnintelligible: true,
      };
    case 'gap':
      return scopeBatch('gap', event.position, event.reason, maker, nowMs);
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
  maker: BatchMaker,
  nowMs: number,
): InvalidationBatch {
  return {
    kind: 'invalidate',
    as,
    tags: maker.scope,
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

/** The tags of a whole transaction are one step, so that they come into force together. */
async function changeStep(
  event: Extract<FeedEvent, { kind: 'change' }>,
  maker: BatchMaker,
  nowMs: number,
): Promise<InvalidationBatch> {
  const { versionField } = maker;
  const tags = new Set<string>();
  const missing = new Set<string>();
  let unmapped = 0;
  let version: bigint | null = null;
  let sliceEndsAtMs = maker.clock.monotonicMs() + SLICE_MS;
  for (const change of event.changes) {
    const mapped = maker.mapping.mapChange(change);
    for (const tag of maker.tagsOf(mapped)) tags.add(tag);
    for (const name of mapped.missing) missing.add(name);
    if (mapped.missing.length > 0) maker.odd?.incomplete(change, mapped.missing);
    if (mapped.unmapped) {
      unmapped += 1;
      maker.odd?.unmapped(change);
    } else if (versionField !== null) version = highestOf([version, versionOf(change, versionField)]);
    if (tags.size > MAX_TAGS) break;
    if (maker.clock.monotonicMs() < sliceEndsAtMs) continue;
    await nextTurn();
    sliceEndsAtMs = maker.clock.monotonicMs() + SLICE_MS;
  }
  return {
    kind: 'invalidate',
    ...whatIsNamed(tags, missing, maker.scope),
    position: event.position,
    // Of one that was not read to its end, none is known.
    version: tags.size > MAX_TAGS ? null : version,
    changes: event.changes.length,
    unmapped,
    isUnintelligible: false,
    receivedAtMs: nowMs,
    committedAtMs: event.committedAtMs ?? null,
  };
}

/** More than the changes name, where that is not fully known or too much. */
function whatIsNamed(
  tags: ReadonlySet<string>,
  missing: ReadonlySet<string>,
  scope: readonly string[],
): Pick<InvalidationBatch, 'as' | 'tags' | 'reason'> {
  if (tags.size > MAX_TAGS) {
    return { as: 'scope', tags: scope, reason: `a transaction names more than ${MAX_TAGS} tags` };
  }
  if (missing.size > 0) {
    const reason = `a change does not tell ${[...missing].join(', ')}`;
    return { as: 'scope', tags: [...new Set([...tags, ...scope])], reason };
  }
  return { as: 'change', tags: [...tags], reason: '' };
}

/**
 * Steps that can go through the door in one call, in order: a later one's tags join an earlier one's as long as both are
 * of one kind and the call names no more than `maxTags`. A step is never split.
 */
export function batchesOf(steps: readonly InvalidationBatch[], maxTags: number): InvalidationBatch[][] {
  const batches: InvalidationBatch[][] = [];
  let tags = 0;
  for (const step of steps) {
    const last = batches.at(-1);
    if (last !== undefined && last[0]!.as === step.as && tags + step.tags.length <= maxTags) {
      last.push(step);
      tags += step.tags.length;
    } else {
      batches.push([step]);
      tags = step.tags.length;
    }
  }
  return batches;
}

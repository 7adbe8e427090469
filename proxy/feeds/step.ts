import type { FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import type { MappedChange, Mapping } from '../../policies/mapping.ts';
import type { FeedInvalidation } from './door.ts';

/** What one event of a feed asks the runner to do, in the feed's order. */
export type FeedStep =
  | InvalidateStep
  | { readonly kind: 'head'; readonly position: string | null; readonly askedAtMonotonicMs: number };

export interface InvalidateStep {
  readonly kind: 'invalidate';
  readonly as: FeedInvalidation['kind'];
  readonly tags: readonly string[];
  readonly position: string | null;
  /** Why more than what changes named is invalidated; empty for `change`. */
  readonly reason: string;
  readonly changes: number;
  readonly unmapped: number;
  readonly isUnintelligible: boolean;
  readonly receivedAtMs: number;
  readonly committedAtMs: number | null;
}

export interface StepMaker {
  readonly mapping: Mapping;
  /** What stands for the whole of what the feed may change. */
  readonly scope: readonly string[];
  /** The tags under which the fence knows what a change named. */
  tagsOf(named: Pick<MappedChange, 'tags' | 'urls' | 'prefixes'>): readonly string[];
}

/** The step of an event; null where it asks for nothing. `nowMs`: wall clock. */
export function stepOf(
  event: Exclude<FeedEvent, { kind: 'failed' }>,
  maker: StepMaker,
  nowMs: number,
): FeedStep | null {
  switch (event.kind) {
    case 'change':
      return changeStep(event, maker, nowMs);
    case 'unintelligible':
      return {
        ...scopeStep('scope', event.position, event.reason, maker, nowMs),
        isUnintelligible: true,
      };
    case 'gap':
      return scopeStep('gap', event.position, event.reason, maker, nowMs);
    case 'head':
      return event;
    case 'behind':
      return null;
    default:
      return event satisfies never;
  }
}

export function scopeStep(
  as: 'gap' | 'scope',
  position: string | null,
  reason: string,
  maker: StepMaker,
  nowMs: number,
): InvalidateStep {
  return {
    kind: 'invalidate',
    as,
    tags: maker.scope,
    position,
    reason,
    changes: 0,
    unmapped: 0,
    isUnintelligible: false,
    receivedAtMs: nowMs,
    committedAtMs: null,
  };
}

/** The tags of a whole transaction are one step, so that they come into force together. */
function changeStep(
  event: Extract<FeedEvent, { kind: 'change' }>,
  maker: StepMaker,
  nowMs: number,
): InvalidateStep {
  const tags = new Set<string>();
  const missing = new Set<string>();
  let unmapped = 0;
  for (const change of event.changes) {
    const mapped = maker.mapping.mapChange(change);
    for (const tag of maker.tagsOf(mapped)) tags.add(tag);
    for (const name of mapped.missing) missing.add(name);
    if (mapped.unmapped) unmapped += 1;
  }
  if (missing.size > 0) for (const tag of maker.scope) tags.add(tag);
  return {
    kind: 'invalidate',
    as: missing.size > 0 ? 'scope' : 'change',
    tags: [...tags],
    position: event.position,
    reason: missing.size > 0 ? `a change does not tell ${[...missing].join(', ')}` : '',
    changes: event.changes.length,
    unmapped,
    isUnintelligible: false,
    receivedAtMs: nowMs,
    committedAtMs: event.committedAtMs ?? null,
  };
}

/**
 * Steps that can go through the door in one call, in order: a later one's tags join an earlier one's as long as both are
 * of one kind and the call names no more than `maxTags`. A step is never split.
 */
export function batchesOf(steps: readonly InvalidateStep[], maxTags: number): InvalidateStep[][] {
  const batches: InvalidateStep[][] = [];
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

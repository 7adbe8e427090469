import type { ForwardReason } from '../../policies/http/cache-status.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { Levels } from '../cache/levels.ts';
import type { StoredEntry } from '../cache/stored-entry.ts';
import type { Peer } from '../flights/peers.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { FoundEntry } from '../flights/waiter.ts';
import type { KeyedVisit } from './visit.ts';

/** Why the origin is asked, and what may stand in for it if it fails. */
export interface Need {
  readonly forward: ForwardReason;
  readonly reason: string;
  readonly stale: StoredEntry | null;
  /** Wall clock until when `stale` may be served if the origin fails; 0: never. */
  readonly staleUntilMs: number;
}

export const MISSING: Need = { forward: 'uri-miss', reason: 'miss', stale: null, staleUntilMs: 0 };

/** RFC 5861 §4: whether what is stale may be served in place of the origin's failure. */
export function mayStandIn(need: Need, nowMs: number, fence: FenceReader, levels: Levels): boolean {
  if (need.stale === null || need.staleUntilMs <= nowMs) return false;
  // It may have been outdated, invalidated, or be about to, since the origin was asked.
  if (levels.isDropped(need.stale.head.id)) return false;
  const verdict = fence.verdict(need.stale).kind;
  return verdict === 'clear' || verdict === 'soft';
}

/**
 * GET and HEAD. Every step returns the next; null: the request is answered, or will be from elsewhere.
 *
 *     key → lookup → borrow → absent | decide → borrow → decide → serve | serve stale | obtain | pass | refuse
 *     obtain → serve found | pass | stand in | fail | fail alike | refuse
 *     pass → stand in | fail
 */
export type CacheStep =
  | { readonly to: 'lookup'; readonly visit: KeyedVisit }
  | {
      readonly to: 'borrow';
      readonly visit: KeyedVisit;
      readonly lender: Peer;
      /** Taken where nothing is lent. */
      readonly otherwise: CacheStep;
    }
  | { readonly to: 'absent'; readonly visit: KeyedVisit; readonly missing: Need }
  | {
      readonly to: 'decide';
      readonly visit: KeyedVisit;
      readonly entry: StoredEntry;
      /** Whether later copies have been looked for on disk and in the memory of other workers. */
      readonly isLatest: boolean;
    }
  | {
      readonly to: 'serve';
      readonly visit: KeyedVisit;
      readonly entry: StoredEntry;
      readonly ttlSeconds: number;
    }
  | {
      readonly to: 'serve-stale';
      readonly visit: KeyedVisit;
      readonly entry: StoredEntry;
      readonly ttlSeconds: number;
      readonly refresh: boolean;
      readonly reason: string;
    }
  | { readonly to: 'obtain'; readonly visit: KeyedVisit; readonly need: Need }
  | {
      readonly to: 'serve-found';
      readonly visit: KeyedVisit;
      readonly need: Need;
      readonly found: FoundEntry;
    }
  | { readonly to: 'pass'; readonly visit: KeyedVisit; readonly reason: string; readonly need: Need }
  | { readonly to: 'stand-in'; readonly visit: KeyedVisit; readonly need: Need }
  | {
      readonly to: 'fail';
      readonly visit: KeyedVisit;
      readonly need: Need;
      readonly failure: OriginFailure;
    }
  /** The origin has failed with this status at another request. */
  | {
      readonly to: 'fail-alike';
      readonly visit: KeyedVisit;
      readonly need: Need;
      readonly status: number;
    }
  | { readonly to: 'refuse-uncached'; readonly visit: KeyedVisit };

/** Takes a step and those that follow from it. */
export type RunSteps = (first: CacheStep) => void;

import type { ForwardReason } from '../../policies/http/cache-status.ts';
import { decideReuse, standsIn } from '../../policies/rfc9111/reuse.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { Levels } from '../store/tiers.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Clock } from '../threads/clock.ts';
import { judge, type Judge } from '../store/verdict.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import type { Peer } from '../fetch/peers/peers.ts';
import type { FoundEntry } from '../fetch/fetch-request.ts';
import type { KeyedVisit } from './context.ts';

/** Why the origin is asked, and what might stand in for it if it fails. */
export interface Need {
  readonly forward: ForwardReason;
  readonly reason: string;
  readonly stale: StoredEntry | null;
}

export const MISSING: Need = { forward: 'uri-miss', reason: 'miss', stale: null };

export interface StandingIn extends Judge<ActiveRoute> {
  readonly fence: FenceReader;
  readonly levels: Levels;
  readonly clock: Clock;
}

/**
 * RFC 5861 §4: whether what is stale may be served in place of the origin's failure. Since the origin was asked it may have
 * been outdated or invalidated, and its feed may have been lost or have caught up: all is judged anew.
 */
export function mayStandIn(deps: StandingIn, { request, route }: KeyedVisit, { stale }: Need): boolean {
  if (stale === null || deps.levels.isDropped(stale.head.id)) return false;
  const judgement = judge(deps, stale, route);
  const nowMs = deps.clock.nowMs();
  return standsIn(
    decideReuse({ meta: stale.meta, request, ...judgement, policy: route.config.cache, nowMs }),
    nowMs,
  );
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

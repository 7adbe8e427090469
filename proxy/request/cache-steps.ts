import type { ForwardReason } from '../../policies/http/cache-status.ts';
import { decideReuse, standsIn } from '../../policies/rfc9111/reuse.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { Tiers } from '../store/tiers.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Clock } from '../threads/clock.ts';
import { judge, type Judge } from '../store/verdict.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import type { Peer } from '../fetch/peers/peers.ts';
import type { FetchedEntry } from '../fetch/fetch-request.ts';
import type { KeyedContext } from './context.ts';

/** Why the origin is asked, and what might stand in for it if it fails. */
export interface FetchReason {
  readonly forward: ForwardReason;
  readonly reason: string;
  readonly stale: StoredEntry | null;
}

export const MISSING: FetchReason = { forward: 'uri-miss', reason: 'miss', stale: null };

export interface StandingIn extends Judge<ActiveRoute> {
  readonly fence: FenceReader;
  readonly tiers: Tiers;
  readonly clock: Clock;
}

/**
 * RFC 5861 §4: whether what is stale may be served in place of the origin's failure. Since the origin was asked it may have
 * been outdated or invalidated, and its feed may have been lost or have caught up: all is judged anew.
 */
export function mayStandIn(
  deps: StandingIn,
  { request, route }: KeyedContext,
  { stale }: FetchReason,
): boolean {
  if (stale === null || deps.tiers.isDropped(stale.head.id)) return false;
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
  | { readonly to: 'lookup'; readonly context: KeyedContext }
  | {
      readonly to: 'borrow';
      readonly context: KeyedContext;
      readonly lender: Peer;
      /** Taken where nothing is lent. */
      readonly otherwise: CacheStep;
    }
  | { readonly to: 'absent'; readonly context: KeyedContext; readonly missing: FetchReason }
  | {
      readonly to: 'decide';
      readonly context: KeyedContext;
      readonly entry: StoredEntry;
      /** Whether later copies have been looked for on disk and in the memory of other workers. */
      readonly isLatest: boolean;
    }
  | {
      readonly to: 'serve';
      readonly context: KeyedContext;
      readonly entry: StoredEntry;
      readonly ttlSeconds: number;
    }
  | {
      readonly to: 'serve-stale';
      readonly context: KeyedContext;
      readonly entry: StoredEntry;
      readonly ttlSeconds: number;
      readonly refresh: boolean;
      readonly reason: string;
    }
  | { readonly to: 'obtain'; readonly context: KeyedContext; readonly need: FetchReason }
  | {
      readonly to: 'serve-found';
      readonly context: KeyedContext;
      readonly need: FetchReason;
      readonly found: FetchedEntry;
    }
  | {
      readonly to: 'pass';
      readonly context: KeyedContext;
      readonly reason: string;
      readonly need: FetchReason;
    }
  | { readonly to: 'stand-in'; readonly context: KeyedContext; readonly need: FetchReason }
  | {
      readonly to: 'fail';
      readonly context: KeyedContext;
      readonly need: FetchReason;
      readonly failure: OriginFailure;
    }
  /** The origin has failed with this status at another request. */
  | {
      readonly to: 'fail-alike';
      readonly context: KeyedContext;
      readonly need: FetchReason;
      readonly status: number;
    }
  | { readonly to: 'refuse-uncached'; readonly context: KeyedContext };

/** Takes a step and those that follow from it. */
export type RunSteps = (first: CacheStep) => void;

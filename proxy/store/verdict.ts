import type { FeedTrust, Verdict } from '../../policies/model.ts';
import type { Fenced, FenceReader } from '../fence/reader.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';

/** What the fence and the feed of its route say of an entry. */
export interface Judgement {
  readonly trust: FeedTrust;
  readonly verdict: Verdict;
}

export interface Judge<Route> {
  readonly fence: Pick<FenceReader, 'verdict'>;
  trustOf(route: Route): FeedTrust;
  readonly mechanisms?: Pick<Mechanisms, 'proofBeforeFence'>;
}

/**
 * The feed's proof is read before the fence. The coordinator brings changes into force before it renews the proof, so a
 * fence that is read after a proof shows every change that the proof stands for. The other way a feed that was lost, and
 * has caught up between the two, would vouch for a verdict that is older than its changes.
 */
export function judge<Route>(
  { fence, trustOf, mechanisms = ALL_MECHANISMS }: Judge<Route>,
  entry: Fenced,
  route: Route,
): Judgement {
  if (!mechanisms.proofBeforeFence) {
    const verdict = fence.verdict(entry);
    return { verdict, trust: trustOf(route) };
  }
  const trust = trustOf(route);
  return { trust, verdict: fence.verdict(entry) };
}

import type { FeedTrust, Verdict } from '../../policies/model.ts';
import type { Fenced, FenceReader } from '../fence/reader.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../mechanisms.ts';

/** The verdict of the fence on an entry, and the trust in the feed of its route. */
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
 * Reads the feed's proof before the fence. The coordinator publishes changes in the fence before it renews the proof,
 * so a fence that is read after the proof shows every change that the proof covers. In the other order, a feed that is
 * lost and catches up between the two reads would seem live at a verdict that is older than its changes.
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

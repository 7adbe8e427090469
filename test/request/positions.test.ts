import { describe, expect, it } from 'vitest';
import { systemClock } from '../../proxy/threads/clock.ts';
import type { FeedView } from '../../proxy/feeds/shared-feed.ts';
import { Positions } from '../../proxy/request/positions.ts';
import type { ActiveRoute } from '../../proxy/origins/active-route.ts';

const ROUTE = { config: { cache: { positionWaitMs: 1_000 } } } as ActiveRoute;

describe('a position that a request waits for', () => {
  it('is not reached if a reload removes its feed meanwhile', async () => {
    const feeds = new Map<string, FeedView>();
    const reaches = async () => {
      feeds.delete('second');
      return true;
    };
    for (const name of ['first', 'second']) feeds.set(name, { reaches } as unknown as FeedView);
    const positions = new Positions((name) => feeds.get(name) ?? null, systemClock);
    const wanted = ['first', 'second'].map((feed) => ({ feed, position: '1' }));
    expect(await positions.reached(wanted, ROUTE)).toBe(false);
  });
});

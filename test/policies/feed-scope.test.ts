import { describe, expect, it } from 'vitest';
import type { FeedConfig } from '../../policies/config/config.ts';
import { readLagMsOf } from '../../policies/feed-scope.ts';

function feed(name: string, readLagMs: number, tags: readonly string[]): FeedConfig {
  const map = [{ when: null, invalidate: { tags, urls: [], prefixes: [] } }];
  return {
    name,
    type: 'sse',
    format: 'json',
    maxSilenceMs: 1,
    readLagMs,
    versionField: null,
    map,
    options: {},
  };
}

describe('the read lag of a route', () => {
  it('is the longest of the feeds that can reach it', () => {
    const feeds = [feed('fast', 0, ['a']), feed('slow', 900, ['a']), feed('idle', 5_000, [])];
    const lagOf = (feed: string | null): number => readLagMsOf(feeds, { feed, versionHeader: null });
    expect(['fast', null, 'idle'].map(lagOf)).toEqual([900, 900, 5_000]);
    expect(readLagMsOf([], { feed: null, versionHeader: null })).toBe(0);
  });

  it("leaves out the route's own feed where responses attest how current they are", () => {
    const feeds = [feed('slow', 900, ['a']), feed('other', 100, ['a'])];
    expect(readLagMsOf(feeds, { feed: 'slow', versionHeader: 'x-version' })).toBe(100);
    expect(readLagMsOf(feeds.slice(0, 1), { feed: 'slow', versionHeader: 'x-version' })).toBe(0);
  });
});

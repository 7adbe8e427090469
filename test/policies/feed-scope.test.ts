import { describe, expect, it } from 'vitest';
import type { FeedConfig } from '../../policies/config/config.ts';
import { readLagMsOf } from '../../policies/feed-scope.ts';

function feed(name: string, readLagMs: number, tags: readonly string[]): FeedConfig {
  const map = [{ when: null, invalidate: { tags, urls: [], prefixes: [] } }];
  return { name, type: 'sse', format: 'json', maxSilenceMs: 1, readLagMs, map, options: {} };
}

describe('the read lag of feeds', () => {
  it('is for each route the longest of the feeds that can reach it, named or not', () => {
    const feeds = [feed('fast', 0, ['a']), feed('slow', 900, ['a']), feed('idle', 5_000, [])];
    expect(readLagMsOf(feeds, 'fast')).toBe(900);
    expect(readLagMsOf(feeds, null)).toBe(900);
    expect(readLagMsOf(feeds, 'idle')).toBe(5_000);
    expect(readLagMsOf([], null)).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import type { SharedFields } from '../../policies/http/shared-fields.ts';
import type { CacheStatus } from '../../policies/http/cache-status.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';
import { respondWithEntry } from '../../proxy/request/entry-response.ts';
import type { KeyedContext } from '../../proxy/request/context.ts';
import { entry } from '../store/disk/support/entries.ts';
import { get, NOW_MS, PLAIN_POLICY, stored } from '../rfc9111/given.ts';

const LEVELS = new Tiers(createMemoryTier(0, 1), null, () => PLAIN_POLICY);

/** An entry with a lifetime of a minute, and the fields that clients get. */
function hits() {
  const meta = stored(['Cache-Control', 'max-age=60']);
  const kept = new StoredEntry(entry(1, { meta, key: 'shop\n\n/a' }), Buffer.from('a'), [
    'Content-Type',
    'text/plain',
  ]);
  /** What each hit was sent besides the fields of the entry. */
  const owns: Fields[] = [];
  const request = (afterSeconds: number, more: Partial<CacheStatus> = {}, ownFields: Fields = []): Fields => {
    let sent: Fields = [];
    const exchange = {
      method: 'GET',
      respondShared: (_status: number, shared: SharedFields, own: Fields) => {
        expect(shared).toBe(kept.shared);
        owns.push(own);
        sent = [...shared.fields, ...own];
      },
    };
    const route = { config: { cache: PLAIN_POLICY } };
    const configuration = { config: { cacheStatus: { key: true } } };
    const context = { exchange, route, configuration, request: get(), key: kept.head.key, position: null };
    respondWithEntry(context as unknown as KeyedContext, LEVELS, {
      entry: kept,
      body: null,
      status: { hit: true, ttlSeconds: 60 - afterSeconds, ...more },
      ownFields,
      lifetimeSeconds: 60,
      isStale: false,
      nowMs: NOW_MS + afterSeconds * 1000,
    });
    return sent;
  };
  return { request, owns };
}

describe('the fields of hits on one entry', () => {
  it('state the age and the remaining lifetime in seconds, which add up to the whole lifetime', () => {
    const { request } = hits();
    const fields = (age: number, ttl: number) => [
      'Content-Type',
      'text/plain',
      'Age',
      String(age),
      'Cache-Status',
      `weir; hit; ttl=${ttl}; key="shop  /a"`,
    ];
    expect(request(0)).toEqual(fields(0, 60));
    expect(request(0.2)).toEqual(fields(0, 60));
    expect(request(1)).toEqual(fields(1, 59));
    expect(request(1.5)).toEqual(fields(1, 59));
    expect(request(30)).toEqual(fields(30, 30));
    expect(request(1)).toEqual(fields(1, 59));
  });

  it('are rendered once a second', () => {
    const { request, owns } = hits();
    for (const afterSeconds of [1.2, 1.9, 2.1]) request(afterSeconds);
    expect(owns[0]).toBe(owns[1]);
    expect(owns[1]).not.toBe(owns[2]);
  });

  it('leave out the fields that were for another client alone', () => {
    const { request } = hits();
    const plain = request(1);
    expect(request(1, { detail: 'max-stale' }).at(-1)).toContain('detail=max-stale');
    expect(request(1, {}, ['Set-Cookie', 'a=1'])).toContain('Set-Cookie');
    expect(request(1)).toEqual(plain);
  });
});

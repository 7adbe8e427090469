import { parseList } from 'structured-headers';
import { describe, expect, it } from 'vitest';
import { cacheStatus, withKey } from '../../../policies/http/cache-status.ts';
import {
  downstreamAgeSeconds,
  downstreamFields,
  statedLifetimes,
} from '../../../policies/http/downstream.ts';
import { proxyStatus } from '../../../policies/http/proxy-status.ts';
import type { RouteCacheConfig } from '../../../policies/config/config.ts';
import { policy, stored } from '../../rfc9111/given.ts';
import { fc } from '../../support/properties.ts';

describe('Cache-Status', () => {
  it('RFC 9211 §2: states how the request was handled', () => {
    expect(cacheStatus({ hit: true, ttlSeconds: 12.1 })).toBe('weir; hit; ttl=13');
    expect(cacheStatus({ hit: true, ttlSeconds: -1.5 })).toBe('weir; hit; ttl=-1');
    expect(cacheStatus({ hit: true, ttlSeconds: -0.5 })).toBe('weir; hit; ttl=0');
    expect(cacheStatus({ fwd: 'uri-miss', fwdStatus: 200, stored: true, collapsed: true })).toBe(
      'weir; fwd=uri-miss; fwd-status=200; stored; collapsed',
    );
    expect(cacheStatus({ fwd: 'stale', key: 'a"b\\\n\u00e9', detail: 'no-store' })).toBe(
      String.raw`weir; fwd=stale; key="a\"b\\??"; detail=no-store`,
    );
    expect(cacheStatus({ fwd: 'miss', detail: 'two words' })).toBe('weir; fwd=miss; detail="two words"');
  });

  it('RFC 9211 §2.7: has the key without values of fields and cookies', () => {
    const keyWith = (secret: string) =>
      withKey(
        {},
        `shop@1\nhttps://a.example\n/p?x=1\nh:x-tenant=${secret}\nc:sid=${secret}\nc:none\nh:empty=`,
      ).key!;
    expect(keyWith('s3=cret')).toMatch(
      /^shop@1 https:\/\/a\.example \/p\?x=1 h:x-tenant=#[0-9a-f]{12} c:sid=#[0-9a-f]{12} c:none h:empty=$/,
    );
    expect(keyWith('one')).toBe(keyWith('one'));
    expect(keyWith('one')).not.toBe(keyWith('two'));
  });

  it('RFC 9211 §2: is a structured field whatever the key and the detail', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (key, detail) => {
        const [[, parameters]] = parseList(cacheStatus({ fwd: 'miss', key, detail })) as [
          [unknown, Map<string, unknown>],
        ];
        return parameters.has('key') && parameters.has('detail');
      }),
    );
  });
});

describe('Proxy-Status', () => {
  it('RFC 9209 §2: states the error', () => {
    expect(
      proxyStatus({ error: 'connection_refused', nextHop: 'shop', receivedStatus: 502, details: 'a "b"' }),
    ).toBe(
      String.raw`weir; error=connection_refused; received-status=502; next-hop="shop"; details="a \"b\""`,
    );
  });
});

const downstreamPolicy = (cacheControl: string | null, cdnCacheControl: string | null, keepTags = true) =>
  policy({ downstream: { cacheControl, cdnCacheControl, keepTags } });

describe('fields for the CDN', () => {
  const FIELDS = ['Cache-Control', 'max-age=5', 'Expires', '0', 'Surrogate-Key', 'a', 'X-A', '1'];

  it("are the origin's, unless the route replaces them", () => {
    expect(downstreamFields(FIELDS, policy())).toBe(FIELDS);
    expect(downstreamFields(FIELDS, downstreamPolicy('max-age=60', null))).toEqual([
      'Surrogate-Key',
      'a',
      'X-A',
      '1',
      'Cache-Control',
      'max-age=60',
    ]);
    expect(downstreamFields(FIELDS, downstreamPolicy(null, 'max-age=9'))).toEqual([
      ...FIELDS,
      'CDN-Cache-Control',
      'max-age=9',
    ]);
    expect(downstreamFields(FIELDS, downstreamPolicy(null, null, false))).not.toContain('Surrogate-Key');
  });

  /**
   * The Age sent for a response that was received with an Age of 7 and has the lifetime `lifetimeSeconds`
   * here.
   */
  const ageOf = (route: RouteCacheConfig, ageSeconds: number, lifetimeSeconds: number) => {
    const meta = stored(['Cache-Control', 'max-age=60', 'Age', '7'], { policy: route });
    const sentFields = downstreamFields(meta.fields, route);
    const lifetimes = statedLifetimes({ sentFields, meta }, route);
    return downstreamAgeSeconds(meta, route, { ageSeconds, lifetimeSeconds, stated: () => lifetimes });
  };
  const fixed = (ttlMs: number) => policy({ freshness: 'fixed', ttlMs });

  it("count the time in this cache for the response's own lifetime, and also with one for the CDN alone", () => {
    expect(ageOf(policy(), 30, 60)).toBe(30);
    expect(ageOf(downstreamPolicy(null, 'max-age=600'), 30, 60)).toBe(30);
    expect(ageOf(downstreamPolicy(null, 'max-age=600'), 3, 60)).toBe(3);
  });

  it('do not count it for a rewritten lifetime or beyond the origin\u2019s, until the lifetime here ends', () => {
    expect(ageOf(downstreamPolicy('max-age=60', null), 30, 600)).toBe(7);
    expect(ageOf(downstreamPolicy('max-age=60', 'max-age=9'), 30, 600)).toBe(7);
    expect(ageOf(downstreamPolicy('s-maxage=7', null), 30, 600)).toBe(0);
    expect(ageOf(downstreamPolicy('no-cache', null), 30, 600)).toBe(7);
    expect(ageOf(downstreamPolicy('max-age=60', null), 590, 600)).toBe(50);
    expect(ageOf(fixed(3_600_000), 600, 3600)).toBe(7);
    expect(ageOf(fixed(3_600_000), 3590, 3600)).toBe(50);
    expect(ageOf(fixed(10_000), 7, 10)).toBe(57);
  });

  it('count it for a rewritten lifetime longer than the one here', () => {
    expect(ageOf(downstreamPolicy('max-age=300', null), 30, 60)).toBe(30);
  });
});

import { parseList } from 'structured-headers';
import { describe, expect, it } from 'vitest';
import { cacheStatus, withKey } from '../../../policies/http/cache-status.ts';
import { downstreamAgeSeconds, downstreamFields } from '../../../policies/http/downstream.ts';
import { proxyStatus } from '../../../policies/http/proxy-status.ts';
import { policy, stored } from '../../rfc9111/given.ts';
import { fc } from '../../support/properties.ts';

describe('RFC 9211 Cache-Status', () => {
  it('RFC 9211 §2 says what was done', () => {
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

  it('RFC 9211 §2.7 tells the key without the values of fields and cookies', () => {
    const told = (secret: string) =>
      withKey(
        {},
        `shop@1\nhttps://a.example\n/p?x=1\nh:x-tenant=${secret}\nc:sid=${secret}\nc:none\nh:empty=`,
      ).key!;
    expect(told('s3=cret')).toMatch(
      /^shop@1 https:\/\/a\.example \/p\?x=1 h:x-tenant=#[0-9a-f]{12} c:sid=#[0-9a-f]{12} c:none h:empty=$/,
    );
    expect(told('one')).toBe(told('one'));
    expect(told('one')).not.toBe(told('two'));
  });

  it('RFC 9211 §2 is a structured field whatever the key and the detail', () => {
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

describe('RFC 9209 Proxy-Status', () => {
  it('RFC 9209 §2 says why', () => {
    expect(
      proxyStatus({ error: 'connection_refused', nextHop: 'shop', receivedStatus: 502, details: 'a "b"' }),
    ).toBe(
      String.raw`weir; error=connection_refused; received-status=502; next-hop="shop"; details="a \"b\""`,
    );
  });
});

const told = (cacheControl: string | null, cdnCacheControl: string | null, keepTags = true) =>
  policy({ downstream: { cacheControl, cdnCacheControl, keepTags } });

describe('what the CDN is told', () => {
  const FIELDS = ['Cache-Control', 'max-age=5', 'Expires', '0', 'Surrogate-Key', 'a', 'X-A', '1'];

  it('is what the origin said, unless the route says otherwise', () => {
    expect(downstreamFields(FIELDS, policy())).toBe(FIELDS);
    expect(downstreamFields(FIELDS, told('max-age=60', null))).toEqual([
      'Surrogate-Key',
      'a',
      'X-A',
      '1',
      'Cache-Control',
      'max-age=60',
    ]);
    expect(downstreamFields(FIELDS, told(null, 'max-age=9'))).toEqual([
      ...FIELDS,
      'CDN-Cache-Control',
      'max-age=9',
    ]);
    expect(downstreamFields(FIELDS, told(null, null, false))).not.toContain('Surrogate-Key');
  });

  it('counts our residence, but not for a rewritten lifetime or beyond the origin\u2019s own', () => {
    const meta = stored(['Cache-Control', 'max-age=60', 'Age', '7']);
    expect(downstreamAgeSeconds(meta, policy(), 30)).toBe(30);
    expect(downstreamAgeSeconds(meta, told('max-age=60', null), 30)).toBe(7);
    expect(downstreamAgeSeconds(meta, told('max-age=60', 'max-age=9'), 30)).toBe(7);
    expect(downstreamAgeSeconds(meta, told('max-age=60, s-maxage=7', null), 30)).toBe(0);
    expect(downstreamAgeSeconds(meta, told('no-cache', null), 30)).toBe(7);
    const long = policy({ freshness: 'fixed', ttlMs: 3_600_000 });
    expect(
      downstreamAgeSeconds(stored(['Cache-Control', 'max-age=60', 'Age', '7'], { policy: long }), long, 600),
    ).toBe(7);
    const alone = told(null, 'max-age=600');
    expect(downstreamAgeSeconds(meta, alone, 30)).toBe(30);
    expect(downstreamAgeSeconds(meta, alone, 3)).toBe(3);
    const short = policy({ freshness: 'fixed', ttlMs: 30_000 });
    expect(downstreamAgeSeconds(stored(['Cache-Control', 'max-age=60'], { policy: short }), short, 20)).toBe(
      20,
    );
  });
});

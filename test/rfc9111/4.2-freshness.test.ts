import { describe, expect, it } from 'vitest';
import { formatAge } from '../../policies/rfc9111/freshness.ts';
import { dateIn, isReused, NOW_MS, policy, reuse, stored } from './given.ts';

const lifetime = (...fields: string[]) => stored([...fields, 'ETag', '"a"']).lifetimeSeconds;
const ofCacheControl = (value: string) => lifetime('Cache-Control', value);
const ofExpires = (value: string) => lifetime('Expires', value);
const initialAge = (...fields: string[]) =>
  stored(['Cache-Control', 'max-age=3600', ...fields]).initialAgeSeconds;

describe('§4.2 freshness', () => {
  it('§4.2 is fresh only while its lifetime is greater than its age', () => {
    expect(isReused(['Cache-Control', 'max-age=10'], 9.9)).toBe(true);
    expect(isReused(['Cache-Control', 'max-age=10'], 10)).toBe(false);
  });

  it('§4.2.1 prefers s-maxage, then max-age, then Expires, then a heuristic', () => {
    const all = ['Expires', dateIn(300), 'Last-Modified', dateIn(-100_000)];
    expect(stored(['Cache-Control', 'max-age=200, s-maxage=100', ...all])).toMatchObject({
      lifetimeSeconds: 100,
      lifetimeSource: 's-maxage',
    });
    expect(stored(['Cache-Control', 'max-age=200', ...all])).toMatchObject({
      lifetimeSeconds: 200,
      lifetimeSource: 'max-age',
    });
    expect(stored(all)).toMatchObject({ lifetimeSeconds: 300, lifetimeSource: 'expires' });
    expect(stored(all.slice(2))).toMatchObject({ lifetimeSeconds: 10_000, lifetimeSource: 'heuristic' });
  });

  it.each([
    ['max-age=3600', 3600],
    ['MaX-aGe=3600', 3600],
    ['max-age="3600"', 3600],
    ['max-age=03600', 3600],
    ['max-age=3600, max-age=3600', 3600],
    ['a="b", max-age=3600', 3600],
    ['a="max-age=1", max-age=3600', 3600],
    ['a="max-age=3600, b", max-age=1', 1],
    ['max-age=1, a="max-age=3600"', 1],
    [',, max-age=3600 ,', 3600],
    ['foo=bar, max-age=3600, unknown', 3600],
    ['max-age=2147483648', 2_147_483_648],
    ['max-age=99999999999999999999', 2_147_483_648],
    ['max-age=3600\t', 3600],
  ])('§4.2.1 reads %s', (value, seconds) => {
    expect(ofCacheControl(value)).toBe(seconds);
  });

  it.each([
    'max-age',
    'max-age=',
    'max-age=-3600',
    'max-age=+3600',
    'max-age=3600.0',
    'max-age=1e3',
    'max-age=a100',
    'max-age=100a',
    "max-age='3600'",
    'max-age = 3600',
    'max-age =3600',
    'max-age= 3600',
    'max-age=36 00',
    'max-age=0x10',
    'max-age=3600;',
    'max-age=3600; foo',
    'max-age="3600',
    'max-age="36"00',
    'max-age=1, max-age=3600',
    'max-age=3600, max-age=1',
    's-maxage=x, max-age=3600',
    'public max-age=3600',
  ])('§4.2.1 treats a response with %s as stale', (value) => {
    expect(ofCacheControl(value)).toBe(0);
  });

  it('§4.2.1 reads directives over several lines, and treats lines that differ as stale', () => {
    expect(lifetime('Cache-Control', 'public', 'cache-control', 'max-age=60')).toBe(60);
    expect(lifetime('Cache-Control', 'max-age=60', 'Cache-Control', 'max-age=61')).toBe(0);
  });

  it('§4.2.1 counts Expires from Date, not from the local clock', () => {
    expect(lifetime('Date', dateIn(-100), 'Expires', dateIn(0))).toBe(100);
    expect(isReused(['Date', dateIn(-100), 'Expires', dateIn(0)])).toBe(false);
    expect(lifetime('Date', dateIn(100), 'Expires', dateIn(50))).toBe(0);
    expect(isReused(['Date', 'broken', 'Expires', dateIn(60)], 59)).toBe(true);
    expect(isReused(['Date', 'broken', 'Expires', dateIn(60)], 60)).toBe(false);
  });

  it.each([
    'Thu, 18 Aug 2050 02:01:18 GMT',
    'THU, 18 AUG 2050 02:01:18 GMT',
    'thu, 18 aug 2050 02:01:18 gmt',
    'Thursday, 18-Aug-50 02:01:18 GMT',
    'Thu Aug 18 02:01:18 2050',
    'Thu Aug  8 02:01:18 2050',
    'Fri, 18 Aug 2050 02:01:18 GMT',
  ])('§4.2 reads Expires: %s', (value) => {
    expect(ofExpires(value)).toBeGreaterThan(1e8);
  });

  it.each([
    '0',
    '',
    '-1',
    'Thu, 18 Aug 2050 02:01:18 AEST',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 2050 02:01:18',
    'Thu, 18 Aug 2050 02:01:18 +0000',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18  Aug  2050  02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02.01.18 GMT',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 8 Aug 2050 02:01:18 GMT',
    'Thu, 31 Feb 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 24:01:18 GMT',
    'Thu, 18 Aug 2050 02:60:18 GMT',
    'Thu, 18 Foo 2050 02:01:18 GMT',
    '2050-08-18T02:01:18Z',
    '2539303278',
    'Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT',
  ])('§5.3 treats a response with Expires: %s as expired', (value) => {
    expect(ofExpires(value)).toBe(0);
  });

  it('§5.3 treats a response with two different Expires as expired', () => {
    expect(lifetime('Expires', dateIn(60), 'Expires', dateIn(3600))).toBe(0);
    expect(lifetime('Expires', dateIn(60), 'Expires', dateIn(60))).toBe(60);
  });

  it('RFC 9110 §5.6.7 reads a two-digit year more than fifty years ahead as past', () => {
    expect(ofExpires('Thursday, 18-Aug-77 02:01:18 GMT')).toBe(0);
    expect(ofExpires('Tuesday, 18-Aug-76 02:01:18 GMT')).toBeGreaterThan(1e9);
  });

  it.each([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])(
    '§4.2.2 uses a tenth of the time since the last modification for %i',
    (status) => {
      expect(stored(['Last-Modified', dateIn(-1000)], { status }).lifetimeSeconds).toBe(100);
    },
  );

  it('§4.2.2 uses a heuristic for any status with public', () => {
    const fields = ['Cache-Control', 'public', 'Last-Modified', dateIn(-1000)];
    for (const status of [201, 302, 403, 503, 599])
      expect(stored(fields, { status }).lifetimeSeconds).toBe(100);
  });

  it('§4.2.2 limits the heuristic to a day, and uses none for a date in the future', () => {
    expect(lifetime('Last-Modified', dateIn(-1e8))).toBe(86_400);
    expect(lifetime('Last-Modified', dateIn(10))).toBe(0);
  });

  it('§4.2.2 uses no heuristic with an explicit lifetime, even a malformed one', () => {
    expect(lifetime('Expires', '0', 'Last-Modified', dateIn(-100_000))).toBe(0);
    expect(lifetime('Cache-Control', 'max-age=x', 'Last-Modified', dateIn(-100_000))).toBe(0);
  });
});

describe('§4.2.3 age', () => {
  it('§4.2.3 is the greater of Age and the apparent age, and grows with time', () => {
    expect(initialAge('Age', '30')).toBe(30);
    expect(initialAge('Date', dateIn(-40))).toBe(40);
    expect(initialAge('Age', '30', 'Date', dateIn(-40))).toBe(40);
    expect(initialAge('Age', '50', 'Date', dateIn(-40))).toBe(50);
    expect(initialAge('Date', dateIn(100))).toBe(0);
    const decision = reuse(stored(['Cache-Control', 'max-age=3600', 'Age', '30']), 12);
    expect(decision).toMatchObject({ kind: 'serve', ageSeconds: 42, ttlSeconds: 3558 });
  });

  it.each([
    ['fixed', 200, 60],
    ['until-changed', 200, 86_400],
    ['fixed', 404, 10],
    ['until-changed', 404, 10],
  ] as const)(
    '§4.2.3 counts the lifetime that %s gives a %i from receipt, whatever Date says',
    (freshness, status, seconds) => {
      const slow = (...more: string[]) =>
        stored(['Cache-Control', 'max-age=3600', 'Date', dateIn(-3000), ...more], {
          status,
          policy: policy({ freshness, ttlMs: 60_000 }),
        });
      expect(slow()).toMatchObject({ lifetimeSeconds: seconds, initialAgeSeconds: 0 });
      expect(reuse(slow(), 5)).toMatchObject({ kind: 'serve', ageSeconds: 5 });
      expect(slow('Age', '7').initialAgeSeconds).toBe(7);
      // The age that Date adds shortens the response's own lifetime.
      expect(slow().headerLifetimeSeconds).toBe(600);
      expect(slow('Age', '7').headerLifetimeSeconds).toBe(607);
    },
  );

  it('§4.2.3 includes the time that the origin took', () => {
    const meta = stored(['Cache-Control', 'max-age=60', 'Age', '5'], { requestTimeMs: NOW_MS - 2500 });
    expect(meta.initialAgeSeconds).toBe(7.5);
    expect(formatAge(meta.initialAgeSeconds)).toBe('7');
  });

  it.each([
    ['0', 0],
    ['30', 30],
    [' 30 ', 30],
    ['030', 30],
    ['30, 0', 30],
    ['0, 30', 0],
    ['-30', 0],
    ['+30', 0],
    ['30.5', 0],
    ['foo', 0],
    ['', 0],
    ['30foo', 0],
    ['foo30', 0],
    ['"30"', 0],
    ['2147483648', 2_147_483_648],
    ['2147483649', 2_147_483_648],
    ['99999999999999999999', 2_147_483_648],
  ])('§5.1 reads Age: %s as %i', (value, seconds) => {
    expect(stored(['Cache-Control', 'max-age=60', 'ETag', '"a"', 'Age', value]).initialAgeSeconds).toBe(
      seconds,
    );
  });

  it('§5.1 uses the first of several Age lines', () => {
    expect(initialAge('Age', '7', 'Age', '9000')).toBe(7);
  });

  it('§4.2.3 is not negative when the local clock is set back', () => {
    expect(reuse(stored(['Cache-Control', 'max-age=60']), -100)).toMatchObject({
      kind: 'serve',
      ageSeconds: 0,
    });
  });

  it('§1.2.2 is stale beyond 2^31 whatever the lifetime', () => {
    expect(isReused(['Cache-Control', 'max-age=99999999999', 'ETag', '"a"', 'Age', '99999999999'])).toBe(
      false,
    );
  });
});

describe('§4.2 lifetimes of the route', () => {
  const fixed = policy({ freshness: 'fixed', ttlMs: 60_000 });
  const changed = policy({ freshness: 'until-changed', feed: 'f' });

  it.each([200, 203, 300, 301, 308])(
    "are those of fixed and until-changed instead of the response's own for %i",
    (status) => {
      expect(stored(['Cache-Control', 'max-age=5'], { status, policy: fixed })).toMatchObject({
        lifetimeSeconds: 60,
        lifetimeSource: 'fixed',
        headerLifetimeSeconds: 5,
      });
      expect(stored([], { status, policy: changed })).toMatchObject({
        lifetimeSeconds: 86_400,
        lifetimeSource: 'until-changed',
        headerLifetimeSeconds: 0,
      });
    },
  );

  it.each([404, 410])('are those of negative-ttl for %i', (status) => {
    expect(stored([], { status, policy: fixed })).toMatchObject({
      lifetimeSeconds: 10,
      lifetimeSource: 'negative-ttl',
    });
  });

  it('leave statuses other than those of fixed to the response', () => {
    expect(stored(['Cache-Control', 'max-age=5'], { status: 302, policy: fixed }).lifetimeSeconds).toBe(5);
    expect(() => stored(['ETag', '"a"'], { status: 500, policy: fixed })).toThrow('no-freshness');
  });

  it('store nothing with none', () => {
    expect(() => stored(['Cache-Control', 'max-age=5'], { policy: policy({ freshness: 'none' }) })).toThrow(
      'route',
    );
  });

  it('replace only the heuristic with default-ttl', () => {
    const given = { policy: policy({ defaultTtlMs: 7000 }) };
    expect(stored([], given)).toMatchObject({ lifetimeSeconds: 7, lifetimeSource: 'default-ttl' });
    expect(stored(['Last-Modified', dateIn(-1e6)], given).lifetimeSeconds).toBe(7);
    expect(stored(['Cache-Control', 'max-age=5'], given).lifetimeSeconds).toBe(5);
    expect(() => stored([], { ...given, status: 302 })).toThrow('no-freshness');
  });

  it.each([
    ['no-store', 'no-store'],
    ['private', 'private'],
    ['no-cache', 'no-cache'],
  ])('do not allow what the origin forbids by %s, unless the route says so', (value, rule) => {
    const fields = ['Cache-Control', value];
    expect(() => stored(fields, { policy: fixed })).toThrow(rule);
    const ignoring = { ...fixed, ignoreOrigin: [rule as 'private'] };
    expect(stored(fields, { policy: ignoring })).toMatchObject({ lifetimeSeconds: 60, noCache: false });
  });
});

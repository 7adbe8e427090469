import { describe, expect, it } from 'vitest';
import { forbidsStoring, wantsOrigin } from '../../policies/rfc9111/reuse.ts';
import { parseDirectives } from '../../policies/rfc9111/cache-control.ts';
import { get, isReused, policy, refusal, reuse, stored } from './given.ts';

const targeted = (cdn: string, ...more: string[]) => ['CDN-Cache-Control', cdn, ...more];

describe('§5.2.2 response directives', () => {
  it('§5.2.2 parses names in lower case, values in three forms, and repeated ones apart', () => {
    expect([...parseDirectives(['A=1, b="x, \\"y", A, c=']).arguments]).toEqual([
      ['a', [{ kind: 'token', text: '1' }, { kind: 'none' }]],
      ['b', [{ kind: 'quoted', text: 'x, "y' }]],
      ['c', [{ kind: 'token', text: '' }]],
    ]);
  });

  it.each([
    'private',
    'Private',
    'private=1',
    'private=""',
    'private="a b"',
    'private=set-cookie',
    'private="a", private',
  ])('§5.2.2.7 does not store with %s', (value) => {
    expect(refusal(['Cache-Control', `max-age=60, ${value}`])).toBe('private');
  });

  it.each([
    'no-cache',
    'No-Cache',
    'no-cache=foo',
    'no-cache=""',
    'no-cache="a b"',
    'no-cache="a", no-cache',
  ])('§5.2.2.4 validates before each use with %s', (value) => {
    const meta = stored(['Cache-Control', `max-age=60, ${value}`, 'ETag', '"a"']);
    expect(reuse(meta, 0)).toMatchObject({ kind: 'revalidate', reason: 'no-cache' });
    expect(refusal(['Cache-Control', `max-age=60, ${value}`])).toBe('no-cache');
  });

  it('§5.2.2 applies restrictions also within an unclosed quote', () => {
    expect(refusal(['Cache-Control', 'max-age=60, a="b, no-store'])).toBe('no-store');
    expect(refusal(['Cache-Control', 'max-age=60; private'])).toBe('private');
  });

  it('§5.2.2 does not read directives within quotes', () => {
    expect(isReused(['Cache-Control', 'max-age=60, a="no-store, private"'], 1)).toBe(true);
    expect(isReused(['Cache-Control', 'max-age=60, a="\\"no-store, private"'], 1)).toBe(true);
  });

  it('§5.2.2.3 must-understand stores implemented statuses in spite of no-store, and no others', () => {
    const fields = ['Cache-Control', 'max-age=60, no-store, must-understand'];
    expect(isReused(fields, 1, { status: 200 })).toBe(true);
    expect(refusal(fields, { status: 599 })).toBe('must-understand');
    expect(refusal(['Cache-Control', 'max-age=60, must-understand'], { status: 299 })).toBe(
      'must-understand',
    );
  });

  it('§5.2.2.6 and §5.2.3 no-transform, immutable and unknown directives do not affect storing', () => {
    expect(isReused(['Cache-Control', 'max-age=60, no-transform, immutable, community="x", y=1'], 1)).toBe(
      true,
    );
  });

  it('RFC 8246 §2 validates an immutable response if the client demands it', () => {
    const meta = stored(['Cache-Control', 'max-age=60, immutable', 'ETag', '"a"']);
    expect(reuse(meta, 1, { request: get('Cache-Control', 'no-cache') }).kind).toBe('revalidate');
    expect(reuse(meta, 61).kind).toBe('revalidate');
  });

  it('§5.4 Pragma in a response has no meaning', () => {
    expect(isReused(['Cache-Control', 'max-age=60', 'Pragma', 'no-cache'], 1)).toBe(true);
  });

  it('§5.2.1.5 does not store the response to a request with no-store, where the route honours it', () => {
    const request = get('Cache-Control', 'no-store');
    expect(refusal(['Cache-Control', 'max-age=60'], { request })).toBe('request-no-store');
    const ignoring = policy({ clientDirectives: 'ignore' });
    expect(refusal(['Cache-Control', 'max-age=60'], { request, policy: ignoring })).toBe('stored');
  });
});

describe('§5.2.1 request directives with client-directives: honor', () => {
  const honouring = policy();
  const ignoring = policy({ clientDirectives: 'ignore' });

  it('§5.2.1.4 and §5.4: no-cache and Pragma demand validation', () => {
    for (const request of [get('Cache-Control', 'no-cache'), get('Pragma', 'no-cache')]) {
      expect(wantsOrigin(request, honouring)).toBe(true);
      expect(wantsOrigin(request, ignoring)).toBe(false);
    }
    expect(wantsOrigin(get('Cache-Control', 'max-age=0'), honouring)).toBe(false);
  });

  it('§5.2.1.5: no-store forbids storing', () => {
    const request = get('Cache-Control', 'no-store');
    expect([forbidsStoring(request, honouring), forbidsStoring(request, ignoring)]).toEqual([true, false]);
    expect(forbidsStoring(get('Cache-Control', 'no-cache'), honouring)).toBe(false);
  });
});

describe('RFC 9213 targeted fields', () => {
  it('RFC 9213 §2.2 uses CDN-Cache-Control in place of Cache-Control and Expires', () => {
    expect(stored(targeted('max-age=60', 'Cache-Control', 'max-age=5'))).toMatchObject({
      lifetimeSeconds: 60,
      lifetimeSource: 'targeted',
    });
    expect(isReused(targeted('max-age=60', 'Cache-Control', 'no-store'), 1)).toBe(true);
    expect(isReused(targeted('max-age=60', 'Expires', '0'), 1)).toBe(true);
    expect(refusal(targeted('no-store', 'Cache-Control', 'max-age=60'))).toBe('no-store');
    expect(isReused(targeted('max-age=0', 'Cache-Control', 'max-age=60', 'ETag', '"a"'))).toBe(false);
    expect(refusal(targeted('must-revalidate', 'Cache-Control', 'max-age=60'))).toBe('no-freshness');
  });

  it.each(['', 'max-age=60, &&&', 'Max-Age=60', 'max-age=60,', 'max-age= 60', 'max-age="60'])(
    'RFC 9213 §2.1 ignores a field that is empty or does not parse: %j',
    (value) => {
      expect(refusal(targeted(value, 'Cache-Control', 'no-store'))).toBe('no-store');
      expect(stored(targeted(value, 'Cache-Control', 'max-age=5')).lifetimeSeconds).toBe(5);
    },
  );

  it.each([
    'max-age="60"',
    'max-age=60.5',
    'max-age',
    'max-age=-1',
    'max-age=foo',
    'max-age=(60)',
    'max-age=:YQ==:',
  ])('RFC 9213 §2.1 treats a lifetime of the wrong type as stale: %s', (value) => {
    expect(isReused(targeted(value, 'Cache-Control', 'max-age=60', 'ETag', '"a"'))).toBe(false);
  });

  it('RFC 9213 §2.1 ignores parameters and reads lists of names from strings', () => {
    expect(stored(targeted('max-age=60;x=1, no-cache="X-A"', 'X-A', '1')).fields).not.toContain('X-A');
  });

  it('RFC 9213 §2.1 treats a directive that is false as absent', () => {
    expect(isReused(targeted('max-age=60, no-store=?0'), 1)).toBe(true);
  });

  it('RFC 9213 §2.2 follows the order of the list, and ignores other fields', () => {
    const listed = policy({ targetedFields: ['weir-cache-control', 'cdn-cache-control'] });
    const fields = [...targeted('max-age=60'), 'Weir-Cache-Control', 'max-age=7'];
    expect(stored(fields, { policy: listed }).lifetimeSeconds).toBe(7);
    expect(
      stored([...targeted('max-age=60'), 'Weir-Cache-Control', ''], { policy: listed }).lifetimeSeconds,
    ).toBe(60);
    expect(stored(fields).lifetimeSeconds).toBe(60);
  });

  it('§3.5 uses the directives of the targeted field', () => {
    const request = get('Authorization', 'x');
    expect(refusal(targeted('max-age=60', 'Cache-Control', 'public'), { request })).toBe('authorization');
    expect(refusal(targeted('max-age=60, public'), { request })).toBe('stored');
  });
});

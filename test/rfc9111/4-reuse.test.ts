import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../policies/model.ts';
import { isConfirmable, isStaleIfErrorStatus, onlyIfCached } from '../../policies/rfc9111/reuse.ts';
import { dateIn, get, NOW_MS, policy, reuse, stored } from './given.ts';

const cc = (value: string, ...more: string[]) => stored(['Cache-Control', value, ...more]);
const asking = (value: string) => ({ request: get('Cache-Control', value) });
const HARD: Verdict = { kind: 'hard' };
const POSSIBLY_STALE: Verdict = { kind: 'possibly-stale' };
const softAt = (seconds: number): Verdict => ({ kind: 'soft', invalidatedAtMs: NOW_MS + seconds * 1000 });
const OLD = dateIn(-100_000);

describe('§4 reuse', () => {
  it("§4 validates a stale response, and fetches one that can't be validated", () => {
    expect(reuse(cc('max-age=10', 'ETag', '"a"'), 11)).toEqual({
      kind: 'revalidate',
      reason: 'stale',
      staleIfErrorUntilMs: 0,
    });
    expect(reuse(cc('max-age=10', 'Last-Modified', OLD), 11).kind).toBe('revalidate');
    expect(reuse(cc('max-age=10'), 11)).toMatchObject({ kind: 'fetch', reason: 'stale' });
    expect(reuse(cc('max-age=10', 'ETag', 'broken'), 11).kind).toBe('fetch');
  });

  it('§5.2.2.4 validates a no-cache response at every use, and never serves it on error', () => {
    expect(reuse(cc('no-cache, max-age=60, stale-if-error=60', 'ETag', '"a"'), 1)).toEqual({
      kind: 'revalidate',
      reason: 'no-cache',
      staleIfErrorUntilMs: 0,
    });
  });
});

describe('RFC 5861 stale windows', () => {
  it('RFC 5861 §3 serves within stale-while-revalidate and refreshes in the background', () => {
    const meta = cc('max-age=10, stale-while-revalidate=20');
    expect(reuse(meta, 29.9)).toMatchObject({
      kind: 'serve-stale',
      refresh: true,
      reason: 'stale-while-revalidate',
    });
    expect(reuse(meta, 30).kind).toBe('fetch');
  });

  it('RFC 5861 §4 limits how long an entry may stand in for an error', () => {
    expect(reuse(cc('max-age=10, stale-if-error=20', 'ETag', '"a"'), 15)).toMatchObject({
      staleIfErrorUntilMs: NOW_MS + 30_000,
    });
  });

  it('RFC 5861 includes the age that the response had on receipt', () => {
    expect(reuse(cc('max-age=10, stale-if-error=20', 'Age', '4'), 7)).toMatchObject({
      staleIfErrorUntilMs: NOW_MS + 26_000,
    });
  });

  it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=10', 'no-cache'])(
    '§4.2.4 never serves stale with %s',
    (directive) => {
      const meta = cc(
        `max-age=10, ${directive}, stale-while-revalidate=60, stale-if-error=60`,
        'ETag',
        '"a"',
      );
      expect(reuse(meta, 11)).toMatchObject({ kind: 'revalidate', staleIfErrorUntilMs: 0 });
      expect(reuse(meta, 11, asking('max-stale')).kind).toBe('revalidate');
    },
  );

  it.each(['stale-while-revalidate=x', 'stale-while-revalidate', 'stale-while-revalidate=-5'])(
    'RFC 5861 gives no window to %s',
    (directive) => {
      expect(reuse(cc(`max-age=10, ${directive}`), 11).kind).toBe('fetch');
    },
  );

  it.each([
    ['s-maxage=10', 30, 40],
    ['proxy-revalidate', 30, 40],
    ['must-revalidate', 0, 0],
    ['s-maxage=10, must-revalidate', 0, 0],
  ])(
    'RFC 5861 windows of the route apply without must-revalidate: %s',
    (directive, whileSeconds, errorSeconds) => {
      const route = policy({ staleWhileRevalidateMs: 30_000, staleIfErrorMs: 40_000 });
      const meta = stored(['Cache-Control', `max-age=10, ${directive}`, 'ETag', '"a"'], { policy: route });
      expect(reuse(meta, 11).kind).toBe(whileSeconds === 0 ? 'revalidate' : 'serve-stale');
      const untilMs = errorSeconds === 0 ? 0 : NOW_MS + (10 + errorSeconds) * 1000;
      expect(reuse(meta, 45)).toMatchObject({ kind: 'revalidate', staleIfErrorUntilMs: untilMs });
      // Directives of the client do not override proxy-revalidate, as the route's windows do.
      expect(reuse(meta, 45, asking('max-stale, stale-if-error=600'))).toMatchObject({
        kind: 'revalidate',
        staleIfErrorUntilMs: untilMs,
      });
    },
  );

  it('RFC 5861 windows of the response do not apply where only one of the route does', () => {
    const text = 'max-age=10, s-maxage=10, stale-while-revalidate=60, stale-if-error=60';
    const meta = stored(['Cache-Control', text, 'ETag', '"a"'], {
      policy: policy({ staleIfErrorMs: 40_000 }),
    });
    expect(reuse(meta, 11)).toMatchObject({ kind: 'revalidate', staleIfErrorUntilMs: NOW_MS + 50_000 });
  });

  it('RFC 5861 windows of the route replace those of the response', () => {
    const route = policy({ staleWhileRevalidateMs: 0, staleIfErrorMs: 5000 });
    const meta = stored(['Cache-Control', 'max-age=10, stale-while-revalidate=60, stale-if-error=60'], {
      policy: route,
    });
    expect(reuse(meta, 11, { policy: route })).toEqual({
      kind: 'fetch',
      reason: 'stale',
      staleIfErrorUntilMs: NOW_MS + 15_000,
    });
  });
});

describe('§5.2.1 request directives', () => {
  const meta = cc('max-age=100', 'ETag', '"a"');

  it.each([
    'no-cache',
    'max-age=0',
    'max-age=9',
    'min-fresh=91',
    'max-age=x',
    'min-fresh=x',
    'NO-CACHE',
    'max-age',
  ])('§5.2.1 validates a fresh response for %s', (value) => {
    expect(reuse(meta, 10, asking(value))).toEqual({
      kind: 'revalidate',
      reason: 'request',
      staleIfErrorUntilMs: 0,
    });
  });

  it.each([
    'max-age=10',
    'max-age=60',
    'min-fresh=90',
    'min-fresh=0',
    'no-store',
    'no-transform',
    'foo',
    'max-stale',
  ])('§5.2.1 serves a fresh response for %s', (value) => {
    expect(reuse(meta, 10, asking(value)).kind).toBe('serve');
  });

  it('§5.2.1.2 serves a response that is stale by no more than max-stale', () => {
    expect(reuse(meta, 105, asking('max-stale=5'))).toMatchObject({
      kind: 'serve-stale',
      refresh: false,
      reason: 'max-stale',
    });
    expect(reuse(meta, 105.1, asking('max-stale=5')).kind).toBe('revalidate');
    expect(reuse(meta, 1e6, asking('max-stale')).kind).toBe('serve-stale');
    expect(reuse(meta, 105, asking('max-stale=x')).kind).toBe('revalidate');
    expect(reuse(meta, 105, asking('max-stale=60, max-age=104')).kind).toBe('revalidate');
  });

  it('RFC 5861 §4 lets a request ask for stale-if-error', () => {
    expect(reuse(meta, 101, asking('stale-if-error=60'))).toMatchObject({
      staleIfErrorUntilMs: NOW_MS + 160_000,
    });
  });

  it('§5.4 treats Pragma: no-cache as Cache-Control: no-cache, where that is absent', () => {
    expect(reuse(meta, 1, { request: get('Pragma', 'No-Cache') }).kind).toBe('revalidate');
    expect(reuse(meta, 1, { request: get('pragma', 'foo') }).kind).toBe('serve');
    expect(reuse(meta, 1, { request: get('Pragma', 'no-cache', 'Cache-Control', 'max-age=60') }).kind).toBe(
      'serve',
    );
  });

  it('§5.2.1 is ignored unless the route honours it', () => {
    const ignoring = policy({ clientDirectives: 'ignore' });
    expect(reuse(meta, 10, { ...asking('no-cache'), policy: ignoring }).kind).toBe('serve');
    expect(reuse(meta, 110, { ...asking('max-stale'), policy: ignoring }).kind).toBe('revalidate');
    expect(onlyIfCached(get('Cache-Control', 'only-if-cached'), ignoring)).toBe(false);
  });

  it('§5.2.1.7 recognises only-if-cached', () => {
    expect(onlyIfCached(get('Cache-Control', 'max-age=5, Only-If-Cached'), policy())).toBe(true);
    expect(onlyIfCached(get('Cache-Control', 'foo="only-if-cached"'), policy())).toBe(false);
    expect(onlyIfCached(get(), policy())).toBe(false);
  });
});

describe('the verdict of the fence', () => {
  const full = cc('max-age=100, stale-while-revalidate=60, stale-if-error=60', 'ETag', '"a"');

  it('allows no stale window after a hard invalidation, whatever the age', () => {
    for (const seconds of [1, 50, 101, 1000]) {
      expect(reuse(full, seconds, { verdict: HARD })).toEqual({
        kind: 'revalidate',
        reason: 'invalidated',
        staleIfErrorUntilMs: 0,
      });
    }
    expect(reuse(full, 1, { ...asking('max-stale'), verdict: HARD }).kind).toBe('revalidate');
  });

  it('counts stale windows from a soft invalidation, or from the expiry where that was earlier', () => {
    expect(reuse(full, 69, { verdict: softAt(10) })).toMatchObject({ kind: 'serve-stale', refresh: true });
    expect(reuse(full, 71, { verdict: softAt(10) })).toEqual({
      kind: 'revalidate',
      reason: 'invalidated',
      staleIfErrorUntilMs: NOW_MS + 70_000,
    });
    expect(reuse(full, 159, { verdict: softAt(150) })).toMatchObject({ kind: 'serve-stale' });
    expect(reuse(full, 161, { verdict: softAt(150) })).toMatchObject({
      staleIfErrorUntilMs: NOW_MS + 160_000,
    });
  });

  it('opens no absent window for a soft invalidation whose clock is ahead of the request', () => {
    const ahead = { verdict: softAt(1.01) };
    expect(reuse(cc('max-age=100, stale-if-error=50', 'ETag', '"a"'), 1, ahead).kind).toBe('revalidate');
    expect(reuse(full, 1, ahead)).toMatchObject({ kind: 'serve-stale', ttlSeconds: 0 });
  });

  it('after a soft invalidation is never fresh, and never stale where that is forbidden', () => {
    expect(reuse(cc('max-age=100', 'ETag', '"a"'), 1, { verdict: softAt(0) }).kind).toBe('revalidate');
    const strict = cc(
      'max-age=100, must-revalidate, stale-while-revalidate=60, stale-if-error=60',
      'ETag',
      '"a"',
    );
    expect(reuse(strict, 1, { verdict: softAt(0) })).toMatchObject({
      kind: 'revalidate',
      staleIfErrorUntilMs: 0,
    });
    expect(reuse(full, 1, { ...asking('no-cache'), verdict: softAt(0) })).toMatchObject({
      reason: 'request',
    });
  });

  it('lets only an ETag or a strong Last-Modified confirm after an invalidation', () => {
    const tagged = cc('max-age=100', 'ETag', 'W/"a"');
    const dated = cc('max-age=100', 'Last-Modified', dateIn(-1));
    const justNow = cc('max-age=100', 'Last-Modified', dateIn(0));
    for (const verdict of [HARD, POSSIBLY_STALE, softAt(0)]) {
      expect(reuse(tagged, 1, { verdict }).kind).toBe('revalidate');
      expect(reuse(dated, 1, { verdict }).kind).toBe('revalidate');
      expect(reuse(justNow, 1, { verdict }).kind).toBe('fetch');
    }
    expect(reuse(justNow, 101).kind).toBe('revalidate');
    expect(isConfirmable(justNow, { kind: 'clear' }, 'live')).toBe(true);
    expect(isConfirmable(justNow, softAt(0), 'live')).toBe(false);
    expect(isConfirmable(justNow, { kind: 'clear' }, 'revalidate')).toBe(false);
    expect(isConfirmable(justNow, { kind: 'clear' }, 'use-headers')).toBe(true);
    expect(isConfirmable(cc('max-age=100'), { kind: 'clear' }, 'live')).toBe(false);
  });

  it('RFC 9110 §8.8.2.2 requires a Date of the origin for a strong Last-Modified', () => {
    const fields = ['Cache-Control', 'max-age=9', 'Last-Modified', OLD];
    expect(stored(fields, { fields }).lastModifiedStrong).toBe(false);
    expect(stored(fields).lastModifiedStrong).toBe(true);
  });

  it('requires a possibly stale entry to be confirmed, and lets it stand in for no error', () => {
    expect(reuse(full, 1, { verdict: POSSIBLY_STALE })).toEqual({
      kind: 'revalidate',
      reason: 'unproven',
      staleIfErrorUntilMs: 0,
    });
  });
});

describe('the state of the feed', () => {
  const changed = policy({ freshness: 'until-changed', feed: 'f' });
  const meta = stored(['Cache-Control', 'max-age=10, stale-if-error=60', 'ETag', '"a"'], { policy: changed });
  const at = (seconds: number, trust: 'live' | 'revalidate' | 'use-headers' | 'bypass') =>
    reuse(meta, seconds, { trust, policy: changed });

  it('keeps an entry fresh until it changes while the feed is live', () => {
    expect(at(86_000, 'live').kind).toBe('serve');
    expect(at(86_400, 'live').kind).toBe('revalidate');
  });

  it('makes Weir validate, use the own lifetime, or bypass, while the feed is not live', () => {
    expect(at(5, 'revalidate')).toMatchObject({ kind: 'revalidate', reason: 'feed-not-live' });
    expect(at(9, 'use-headers').kind).toBe('serve');
    expect(at(10, 'use-headers').kind).toBe('revalidate');
    expect(at(5, 'bypass')).toEqual({ kind: 'bypass', reason: 'feed-lost' });
  });

  it('lets an entry stand in for an error while the feed is lost, where the response allows it', () => {
    expect(at(5, 'revalidate')).toMatchObject({ staleIfErrorUntilMs: NOW_MS + 65_000 });
    const silent = stored(['ETag', '"a"'], { policy: changed });
    expect(reuse(silent, 5, { trust: 'revalidate', policy: changed })).toMatchObject({
      staleIfErrorUntilMs: 0,
    });
  });
});

describe('RFC 5861 §4 errors', () => {
  it('RFC 5861 §4 are 500, 502, 503 and 504', () => {
    const counting = [200, 404, 429, 500, 501, 502, 503, 504, 505].filter(isStaleIfErrorStatus);
    expect(counting).toEqual([500, 502, 503, 504]);
  });
});

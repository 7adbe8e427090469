import { describe, expect, it } from 'vitest';
import { decideSharing, isShareable, type SharingQuestion } from '../../policies/rfc9111/sharing.ts';
import { get, NOW_MS, policy, stored } from './given.ts';

const UNTIL_CHANGED = policy({ freshness: 'until-changed' });

function shared(fields: readonly string[], changes: Partial<SharingQuestion> = {}): string {
  const asked = { policy: changes.policy ?? policy() };
  return decideSharing({
    meta: stored(fields, asked),
    request: get(),
    trust: 'untracked',
    arrivedAtMs: NOW_MS - 10,
    isAskedSince: true,
    ...asked,
    ...changes,
  }).kind;
}

describe('a response that other requests wait for', () => {
  it.each([
    [['Cache-Control', 'max-age=60'], 'share'],
    [['Cache-Control', 'max-age=0, stale-while-revalidate=1', 'ETag', '"1"'], 'share'],
    [['Last-Modified', 'Mon, 15 Jun 2020 00:00:00 GMT'], 'share'],
    [['ETag', '"1"'], 'private'],
    [['ETag', '"1"', 'Cache-Control', 'public'], 'private'],
    [['ETag', '"1"', 'Cache-Control', 'max-age=60, no-cache'], 'private'],
    [['ETag', '"1"', 'Cache-Control', 'max-age=60', 'Age', '61'], 'private'],
    [['ETag', '"1"', 'Cache-Control', 'max-age=0, stale-if-error=60'], 'private'],
    [['ETag', '"1"', 'Cache-Control', 'max-age=0, must-revalidate, stale-while-revalidate=60'], 'private'],
    [['Cache-Control', 'max-age=60', 'Vary', 'Cookie'], 'other-variant'],
  ])('§4: with %j is shared: %s', (fields, kind) => {
    expect(shared(fields, { request: get('Cookie', 'b') })).toBe(kind);
    if (kind !== 'other-variant') expect(isShareable(stored(fields), policy())).toBe(kind === 'share');
  });

  it('is shared where the route gives it a lifetime, and where the route ignores no-cache', () => {
    expect(shared(['ETag', '"1"'], { policy: policy({ freshness: 'fixed', ttlMs: 1_000 }) })).toBe('share');
    expect(shared(['ETag', '"1"'], { policy: UNTIL_CHANGED })).toBe('share');
    const ignoring = policy({ ignoreOrigin: ['no-cache'] });
    expect(shared(['ETag', '"1"', 'Cache-Control', 'no-cache, max-age=1'], { policy: ignoring })).toBe(
      'share',
    );
  });

  it.each(['revalidate', 'use-headers', 'bypass'] as const)(
    'is shared while a feed is lost (%s) if the origin was asked after the request arrived',
    (trust) => {
      const asked = { policy: UNTIL_CHANGED, trust };
      expect(shared(['ETag', '"1"'], asked)).toBe('share');
      expect(shared(['ETag', '"1"'], { ...asked, isAskedSince: false })).toBe('superseded');
      expect(shared(['ETag', '"1"', 'Cache-Control', 'no-cache'], asked)).toBe('private');
    },
  );

  it.each(['no-cache', 'min-fresh=120'])(
    "§5.2.1: satisfies a request's %s if the origin was asked after the request arrived",
    (directive) => {
      const asked = { request: get('Cache-Control', directive) };
      expect(shared(['Cache-Control', 'max-age=60'], asked)).toBe('share');
      expect(shared(['Cache-Control', 'max-age=60'], { ...asked, isAskedSince: false })).toBe('superseded');
      expect(shared(['Cache-Control', 'max-age=0', 'ETag', '"1"'], asked)).toBe('private');
    },
  );

  it('§5.2.1.2: is shared stale with a request that accepts it', () => {
    const request = get('Cache-Control', 'max-stale');
    expect(shared(['Cache-Control', 'max-age=0', 'ETag', '"1"'], { request })).toBe('share');
  });

  it('§4.2.3: does not age for waiting requests by the time that the origin took', () => {
    const fields = ['Cache-Control', 'max-age=1', 'ETag', '"1"'];
    const meta = stored(fields, { requestTimeMs: NOW_MS - 3_000 });
    expect(shared(fields, { meta })).toBe('share');
    expect(shared(fields, { meta, arrivedAtMs: NOW_MS + 1, isAskedSince: false })).toBe('private');
  });
});

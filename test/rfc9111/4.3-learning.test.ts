import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import type { StoredMeta } from '../../policies/model.ts';
import {
  decideLearning,
  mayDisplace,
  type KnownResponse,
  type LearntResponse,
} from '../../policies/rfc9111/learning.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import { get, NOW_MS, PLAIN_POLICY, reuse, stored } from './given.ts';

const LATER_MS = NOW_MS + 100_000;
const OLD = stored([
  'Cache-Control',
  'max-age=10, stale-if-error=600',
  'ETag',
  '"a"',
  'Content-Length',
  '10',
]);

function known(changes: Partial<KnownResponse> = {}): KnownResponse {
  return { meta: OLD, sizeBytes: 10, floor: 5, standsIn: false, ...changes };
}

function answer(
  status: number,
  fields: Fields,
  changes: Omit<Partial<LearntResponse>, 'asked'> & { asked?: Partial<LearntResponse['asked']> } = {},
): LearntResponse {
  const request = changes.request ?? get();
  const received = {
    request,
    status,
    fields,
    requestTimeMs: LATER_MS,
    responseTimeMs: LATER_MS,
    policy: PLAIN_POLICY,
    authority: 'shop.example',
  };
  const storing = decideStoring(received);
  return {
    ...received,
    floor: 5,
    storing,
    isKept: storing.kind === 'store',
    ...changes,
    asked: { method: 'GET', conditions: 'own', isInQuestion: true, ...changes.asked },
  };
}

const learnt = (...given: Parameters<typeof answer>) => decideLearning(known(), answer(...given)).kind;

const FRESH = ['Cache-Control', 'max-age=60'];
const NO_STORE = ['Cache-Control', 'no-store'];

describe('§4.3.3 a full response to a GET', () => {
  it.each([
    [200, [...FRESH, 'ETag', '"b"'], 'replaced'],
    [404, FRESH, 'replaced'],
    [503, FRESH, 'replaced'],
    [404, NO_STORE, 'outdated'],
    [410, NO_STORE, 'outdated'],
    [401, NO_STORE, 'outdated'],
    [403, NO_STORE, 'outdated'],
    [451, NO_STORE, 'outdated'],
    [204, NO_STORE, 'outdated'],
    [302, ['Location', '/'], 'outdated'],
    [200, NO_STORE, 'outdated'],
    [200, ['Cache-Control', 'private', 'ETag', '"a"'], 'outdated'],
    [200, ['Cache-Control', 'private', 'ETag', '"b"'], 'outdated'],
    [200, [...FRESH, 'Vary', '*'], 'outdated'],
    [200, ['Cache-Control', 'max-age=0'], 'outdated'],
    [200, [...FRESH, 'Set-Cookie', 'a=b'], 'outdated'],
    [200, [...FRESH, 'Set-Cookie', 'a=b', 'ETag', '"b"'], 'outdated'],
    [200, [...FRESH, 'Set-Cookie', 'a=b', 'ETag', 'W/"a"'], 'nothing'],
    [500, NO_STORE, 'nothing'],
    [501, NO_STORE, 'nothing'],
    [503, NO_STORE, 'nothing'],
    [429, NO_STORE, 'nothing'],
    [400, NO_STORE, 'nothing'],
    [408, NO_STORE, 'nothing'],
    [412, NO_STORE, 'nothing'],
    [416, NO_STORE, 'nothing'],
  ] as const)('§4.3.3 outdates entries by %i with %j: %s', (status, fields, expected) => {
    expect(learnt(status, fields)).toBe(expected);
  });

  it('§4.3.3 outdates all entries except those of the same representation if it could be stored and is not', () => {
    expect(learnt(200, [...FRESH, 'ETag', '"b"'], { isKept: false })).toBe('outdated');
    expect(learnt(200, FRESH, { isKept: false })).toBe('outdated');
    expect(learnt(200, [...FRESH, 'ETag', '"a"'], { isKept: false })).toBe('nothing');
    expect(learnt(404, [...FRESH, 'ETag', '"a"'], { isKept: false })).toBe('outdated');
    expect(learnt(503, FRESH, { isKept: false })).toBe('nothing');
  });

  it('§4.3.3 outdates only other representations if its request validated nothing', () => {
    const unvalidated = { isKept: false, asked: { conditions: 'client', isInQuestion: false } } as const;
    expect(learnt(200, FRESH, unvalidated)).toBe('nothing');
    expect(learnt(200, NO_STORE, unvalidated)).toBe('nothing');
    expect(learnt(200, [...NO_STORE, 'ETag', '"a"'], unvalidated)).toBe('outdated');
    expect(learnt(200, [...FRESH, 'ETag', '"b"'], unvalidated)).toBe('outdated');
    expect(learnt(404, NO_STORE, unvalidated)).toBe('outdated');
  });

  it('§4.1 does not affect variants that could not have been selected for its request', () => {
    const meta = stored(['Cache-Control', 'max-age=10', 'Vary', 'Foo'], { request: get('Foo', '1') });
    const other = answer(404, NO_STORE, { request: get('Foo', '2') });
    expect(decideLearning(known({ meta }), other).kind).toBe('nothing');
    const own = answer(404, NO_STORE, { request: get('Foo', '1') });
    expect(decideLearning(known({ meta }), own).kind).toBe('outdated');
  });

  it('§4.1 outdates variants by other fields, which can no longer be selected', () => {
    expect(learnt(200, [...FRESH, 'Vary', 'Foo'])).toBe('outdated');
  });

  it('does not affect entries that were fetched later', () => {
    const gone = answer(404, NO_STORE);
    expect(decideLearning(known({ floor: 6 }), gone).kind).toBe('nothing');
    const meta = { ...OLD, requestTimeMs: LATER_MS + 1 };
    expect(decideLearning(known({ meta }), gone).kind).toBe('nothing');
  });
});

describe('RFC 5861 §4 an error response that may be stored', () => {
  const error = (status: number) => answer(status, FRESH);

  it.each([500, 502, 503, 504])(
    'with status %i does not displace an entry that stands in for it',
    (status) => {
      expect(decideLearning(known({ standsIn: true }), error(status)).kind).toBe('nothing');
      expect(mayDisplace([known({ standsIn: true })], error(status))).toBe(false);
      expect(mayDisplace([known()], error(status))).toBe(true);
      expect(mayDisplace([], error(status))).toBe(true);
    },
  );

  it('does not displace variants for other requests', () => {
    const meta = stored(['Cache-Control', 'max-age=10', 'Vary', 'Foo'], { request: get('Foo', '1') });
    expect(mayDisplace([known({ meta, standsIn: true })], error(503))).toBe(true);
  });

  it('with status 404 displaces the entry, because no entry stands in for a 404', () => {
    expect(decideLearning(known({ standsIn: true }), error(404)).kind).toBe('replaced');
    expect(mayDisplace([known({ standsIn: true })], error(404))).toBe(true);
  });

  it('has no stale windows of its own', () => {
    const meta = stored(['Cache-Control', 'max-age=10, stale-if-error=60, stale-while-revalidate=60'], {
      status: 503,
    });
    expect(meta).toMatchObject({ staleIfErrorSeconds: 0, staleWhileRevalidateSeconds: 0 });
    const wanted = { request: get('Cache-Control', 'stale-if-error=60') };
    expect(reuse(meta, 20, wanted)).toMatchObject({ staleIfErrorUntilMs: 0 });
  });
});

describe('§4.3.4 a 304', () => {
  it.each([
    [['ETag', '"a"', ...FRESH], 'own', 'confirmed'],
    [['ETag', '"a"', 'Cache-Control', 'private'], 'own', 'outdated'],
    [['ETag', '"a"', 'Cache-Control', 'no-store'], 'own', 'outdated'],
    [['ETag', '"a"', ...FRESH], 'client', 'nothing'],
    [['ETag', '"a"', ...FRESH], 'none', 'nothing'],
  ] as const)('§4.3.4 with %j to the conditions %s does: %s', (fields, conditions, expected) => {
    expect(learnt(304, fields, { asked: { conditions } })).toBe(expected);
  });

  it('§5.2.1.5 changes nothing if its request forbids storing', () => {
    const request = get('Cache-Control', 'no-store');
    expect(learnt(304, ['ETag', '"a"', ...FRESH], { request })).toBe('nothing');
  });
});

describe('§4.3.5 the response to a HEAD', () => {
  const HEAD = { isKept: false, asked: { method: 'HEAD', conditions: 'client' } } as const;

  it.each([
    [200, [...FRESH, 'ETag', '"a"'], 'confirmed'],
    [200, [...FRESH, 'ETag', 'W/"a"'], 'confirmed'],
    [200, [...FRESH, 'Content-Length', '10'], 'confirmed'],
    [200, [...FRESH, 'Content-Length', '11'], 'stale'],
    [200, [...FRESH, 'Content-Length', '11', 'Content-Encoding', 'gzip'], 'confirmed'],
    [200, [...FRESH, 'ETag', '"b"'], 'stale'],
    [200, NO_STORE, 'outdated'],
    [404, NO_STORE, 'outdated'],
    [410, NO_STORE, 'outdated'],
    [301, NO_STORE, 'outdated'],
    [304, [], 'nothing'],
    [401, NO_STORE, 'nothing'],
    [405, NO_STORE, 'nothing'],
    [429, NO_STORE, 'nothing'],
    [503, NO_STORE, 'nothing'],
    [503, FRESH, 'nothing'],
  ] as const)('§4.3.5 with status %i and %j does: %s', (status, fields, expected) => {
    expect(learnt(status, fields, HEAD)).toBe(expected);
  });

  it('§4.3.5 is compared with the known size, whatever the stored fields state', () => {
    const chunked = stored(['Cache-Control', 'max-age=10']);
    const byHead = (length: string) =>
      decideLearning(known({ meta: chunked }), answer(200, [...FRESH, 'Content-Length', length], HEAD)).kind;
    expect(byHead('10')).toBe('confirmed');
    expect(byHead('9')).toBe('stale');
  });

  it('§4.3.5 makes an entry stale that is not served during its refresh, but stands in for errors', () => {
    const meta = stored(['Cache-Control', 'max-age=1000, stale-if-error=600, stale-while-revalidate=600']);
    const learning = decideLearning(known({ meta }), answer(200, [...FRESH, 'ETag', '"b"'], HEAD));
    expect(learning.kind).toBe('stale');
    const { meta: stale } = learning as { meta: StoredMeta };
    expect(reuse(stale, 101)).toMatchObject({ kind: 'fetch', staleIfErrorUntilMs: expect.any(Number) });
    expect(reuse(stale, 101)).not.toMatchObject({ staleIfErrorUntilMs: 0 });
  });
});

describe('§3.3 the effect of a part', () => {
  const RANGE = get('Range', 'bytes=4-7');
  const part = (etag: string, range: string, length = 20) =>
    answer(206, [...FRESH, 'ETag', etag, 'Content-Range', `bytes ${range}/${length}`], { request: RANGE });
  const meta = stored(['Cache-Control', 'max-age=10', 'ETag', '"a"', 'Content-Range', 'bytes 0-3/20'], {
    status: 206,
    request: get('Range', 'bytes=0-3'),
  });

  it.each([
    ['of the same representation', part('"a"', '4-7'), 'nothing'],
    ['that overlaps', part('"a"', '2-7'), 'replaced'],
    ['of another representation', part('"b"', '4-7'), 'outdated'],
    ['of another length', part('"a"', '4-7', 30), 'outdated'],
    ['that replaces nothing', answer(404, NO_STORE, { request: RANGE }), 'outdated'],
    ['that lies outside the whole', answer(416, NO_STORE, { request: RANGE }), 'nothing'],
  ] as const)('§3.3 is decided for one %s', (_, given, expected) => {
    expect(decideLearning(known({ meta, sizeBytes: 4 }), given).kind).toBe(expected);
  });

  it('§3.3 is that the whole is outdated by another representation', () => {
    expect(decideLearning(known({ sizeBytes: 20 }), part('"a"', '4-7')).kind).toBe('nothing');
    expect(decideLearning(known({ sizeBytes: 20 }), part('"b"', '4-7')).kind).toBe('outdated');
  });
});

describe("a response to a request with the client's own conditions", () => {
  const authorized = get('Authorization', 'Bearer x');

  it('does not affect stored entries of the same representation', () => {
    expect(learnt(401, NO_STORE, { request: authorized })).toBe('nothing');
    expect(learnt(406, NO_STORE)).toBe('nothing');
    const head = { asked: { method: 'HEAD' } };
    expect(learnt(200, [...FRESH, 'ETag', '"a"'], { request: authorized, ...head })).toBe('nothing');
    const part = ['ETag', '"a"', 'Content-Range', 'bytes 0-0/10', ...FRESH];
    expect(learnt(206, part, { request: get('Range', 'bytes=0-0'), isKept: false, ...head })).toBe('nothing');
  });

  it('outdates entries where it has another representation', () => {
    const head = { asked: { method: 'HEAD' } };
    const part = ['ETag', '"b"', 'Content-Range', 'bytes 0-0/10', ...FRESH];
    expect(learnt(206, part, { request: get('Range', 'bytes=0-0'), isKept: false, ...head })).toBe(
      'outdated',
    );
  });
});

import { describe, expect, it } from 'vitest';
import {
  decideDelivery,
  hasSameCredentials,
  isMergeable,
  outcomeOfStatus,
  preferredWaitMs,
  representationOfPut,
  requestDigest,
  retryAfterMs,
  scopedIdempotencyKey,
  type AttemptedWrite,
} from '../../policies/writes.ts';

const NOW = Date.UTC(2026, 0, 1);
const RETRY = { baseMs: 200, maxMs: 60_000, attempts: 20, statuses: null };
const FAILED = { kind: 'failed', maybeProcessed: true, message: 'lost' } as const;

function write(more: Partial<AttemptedWrite> = {}): AttemptedWrite {
  return { method: 'PUT', fields: [], attempts: 1, wasUncertain: false, ...more };
}

function answered(status: number, fields: readonly string[] = []) {
  return { kind: 'answered', status, fields } as const;
}

describe('a delivery', () => {
  it.each([
    [1, 0, 0],
    [1, 1, 200],
    [3, 0.5, 400],
    [9, 1, 51_200],
    [10, 1, 60_000],
    [19, 0.25, 15_000],
  ])(
    'backs off exponentially with full jitter: attempt %i, random number %f',
    (attempts, random, afterMs) => {
      expect(decideDelivery(FAILED, write({ attempts }), RETRY, NOW, random)).toMatchObject({
        kind: 'retry',
        afterMs,
      });
    },
  );

  it('is dead at the last attempt', () => {
    expect(decideDelivery(FAILED, write({ attempts: 20 }), RETRY, NOW, 0)).toMatchObject({ kind: 'dead' });
  });

  it.each([
    [204, 'delivered'],
    [303, 'delivered'],
    [307, 'dead'],
    [400, 'dead'],
    [408, 'retry'],
    [409, 'dead'],
    [425, 'retry'],
    [429, 'retry'],
    [500, 'retry'],
    [503, 'retry'],
  ])('answered %i has the result %s', (status, kind) => {
    expect(decideDelivery(answered(status), write(), RETRY, NOW, 0).kind).toBe(kind);
  });

  it.each(['PUT', 'PATCH', 'DELETE', 'POST'])(
    'RFC 9110 §15.4: is not done by a redirection of %s other than 303',
    (method) => {
      const kinds = [301, 302, 303, 304, 307, 308].map(
        (status) => decideDelivery(answered(status), write({ method }), RETRY, NOW, 0).kind,
      );
      const found = method === 'POST' ? 'delivered' : 'dead';
      expect(kinds).toEqual(['dead', found, 'delivered', 'dead', 'dead', 'dead']);
    },
  );

  it('retries the configured statuses and no others', () => {
    const retry = { ...RETRY, statuses: [409, 503] };
    const kinds = [409, 429, 500, 503].map(
      (status) => decideDelivery(answered(status), write(), retry, NOW, 0).kind,
    );
    expect(kinds).toEqual(['retry', 'dead', 'dead', 'retry']);
    expect(decideDelivery(FAILED, write(), retry, NOW, 0).kind).toBe('retry');
  });

  it('RFC 9110 §10.2.3: waits for as long as Retry-After says, where that is longer', () => {
    const after = (field: string, random: number) =>
      decideDelivery(answered(503, ['Retry-After', field]), write(), RETRY, NOW, random);
    expect(after('2', 1)).toMatchObject({ afterMs: 2_000 });
    expect(after('0', 1)).toMatchObject({ afterMs: 200 });
    expect(after(new Date(NOW + 3_000).toUTCString(), 0)).toMatchObject({ afterMs: 3_000 });
    expect([
      retryAfterMs(['Retry-After', 'soon'], NOW),
      retryAfterMs(['Retry-After', '999999999'], NOW),
      retryAfterMs(['Retry-After', '99999999999999999999'], NOW),
    ]).toEqual([0, 86_400_000, 86_400_000]);
  });

  it('is uncertain when a precondition failed after an attempt of unknown outcome', () => {
    const fields = ['If-Match', '"1"'];
    const state = (wasUncertain: boolean) =>
      decideDelivery(answered(412), write({ fields, wasUncertain }), RETRY, NOW, 0);
    expect([state(true), state(false)]).toMatchObject([{ state: 'uncertain' }, { state: 'dead' }]);
  });

  it('RFC 9110 §9.2.2: is done by 404 to a DELETE that an earlier attempt may have carried out', () => {
    const kind = (method: string, wasUncertain: boolean) =>
      decideDelivery(answered(404), write({ method, wasUncertain }), RETRY, NOW, 0).kind;
    expect([kind('DELETE', true), kind('DELETE', false), kind('PUT', true)]).toEqual([
      'delivered',
      'dead',
      'dead',
    ]);
  });
});

describe('the outcome of a write', () => {
  it('RFC 9110 §15.6: is unknown after the response of a gateway that lost the origin', () => {
    expect([200, 302, 404, 500, 502, 503, 504].map(outcomeOfStatus)).toEqual([
      'applied',
      'applied',
      'rejected',
      'applied',
      'unknown',
      'applied',
      'unknown',
    ]);
  });
});

describe('merging writes', () => {
  it.each([
    ['PUT', [], true],
    ['PUT', ['If-Match', '"1"'], false],
    ['PUT', ['If-Unmodified-Since', 'Thu, 01 Jan 2026 00:00:00 GMT'], false],
    ['PUT', ['Content-Range', 'bytes 0-1/2'], false],
    ['POST', [], false],
    ['PATCH', [], false],
    ['DELETE', [], false],
  ])('with %s %j is allowed: %s', (method, fields, merges) => {
    expect(isMergeable(method, fields)).toBe(merges);
  });

  it.each([
    [[], [], true],
    [['Authorization', 'a', 'Content-Type', 'a/b'], ['content-type', 'c/d', 'authorization', 'a'], true],
    [['Authorization', 'a'], ['Authorization', 'b'], false],
    [['Authorization', 'a'], [], false],
    [['Cookie', 'sid=1'], ['Cookie', 'sid=2'], false],
  ])('with the credentials %j and %j is allowed: %s', (one, other, isSame) => {
    expect(hasSameCredentials(one, other)).toBe(isSame);
  });
});

describe('Idempotency-Key', () => {
  it('belongs to one origin, one host that the origin sees, and one set of credentials', () => {
    const key = (origin: string, authority: string | null, ...more: string[]) =>
      scopedIdempotencyKey({ origin, authority }, ['Idempotency-Key', '"a"', ...more]);
    expect(key('shop', null)).toBe(key('shop', null));
    const others = [
      key('shop', null),
      key('other', null),
      key('shop', null, 'Authorization', 'b'),
      key('shop', null, 'Cookie', 'b'),
      key('shop', null, 'Cookie', 'c'),
      key('shop', null, 'Authorization', 'b', 'Cookie', 'b'),
      key('shop', 'a.example'),
      key('shop', 'b.example'),
      key('shop', null, 'Idempotency-Key', '"b"'),
    ];
    expect(new Set(others).size).toBe(others.length);
    expect(scopedIdempotencyKey({ origin: 'shop', authority: null }, ['Idempotency-Key', ' '])).toBe(null);
  });

  it('names the same request only where method, target, content, its type and preconditions are equal', () => {
    const request = { method: 'PUT', target: '/a', fields: ['Content-Type', 'a/b'], body: Buffer.from('x') };
    const digest = requestDigest(request);
    expect(requestDigest({ ...request, fields: ['X-Trace', '1', 'Content-Type', 'a/b'] })).toBe(digest);
    const others = [
      { ...request, method: 'POST' },
      { ...request, target: '/b' },
      { ...request, fields: ['Content-Type', 'a/c'] },
      { ...request, fields: ['Content-Type', 'a/b', 'If-Match', '"1"'] },
      { ...request, body: Buffer.from('y') },
    ];
    expect(others.map(requestDigest)).not.toContain(digest);
  });
});

describe('Prefer', () => {
  it.each([
    ['wait=10', 10_000],
    ['respond-async, wait=1', 1_000],
    ['WAIT = "3"', 3_000],
    ['wait=99999', 600_000],
    ['wait=-1', 0],
    ['wait', 0],
  ])('RFC 7240 §4.3: limits the wait: %s', (value, waitMs) => {
    expect(preferredWaitMs(['Prefer', value])).toBe(waitMs);
  });
});

describe('the content of a PUT becomes an entry', () => {
  it('RFC 9110 §9.3.4: only when the response has a validator and every GET would get that content', () => {
    const sent = ['Content-Type', 'text/plain', 'Cookie', 'a=b'];
    expect(representationOfPut(sent, 204, ['ETag', '"1"', 'Server', 'x'])).toEqual([
      'Content-Type',
      'text/plain',
      'ETag',
      '"1"',
    ]);
    const none = [
      representationOfPut(sent, 204, []),
      representationOfPut(sent, 202, ['ETag', '"1"']),
      representationOfPut(sent, 204, ['ETag', '"1"', 'Vary', 'Accept']),
      representationOfPut([...sent, 'Content-Encoding', 'gzip'], 204, ['ETag', '"1"']),
      representationOfPut([...sent, 'Content-Range', 'bytes 0-1/2'], 204, ['ETag', '"1"']),
    ];
    expect(none).toEqual([null, null, null, null, null]);
  });
});

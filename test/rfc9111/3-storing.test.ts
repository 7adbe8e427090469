import { describe, expect, it } from 'vitest';
import { fieldValue, hasField } from '../../policies/http/fields.ts';
import { dateIn, get, isReused, NOW_MS, policy, refusal, storing, stored } from './given.ts';

const FRESH = ['Cache-Control', 'max-age=3600'];

describe('§3 storing responses', () => {
  it('§3 stores a GET with explicit freshness', () => {
    expect(isReused(FRESH, 3599)).toBe(true);
  });

  it.each(['POST', 'PUT', 'HEAD', 'OPTIONS', 'get'])('§3 does not store the response to %s', (method) => {
    expect(refusal(FRESH, { request: { method, fields: [] } })).toBe('method');
  });

  it.each([
    200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 414, 499, 500, 501, 502, 503, 504, 599,
  ])('§3 stores any final status with explicit freshness: %i', (status) => {
    expect(isReused(FRESH, 10, { status })).toBe(true);
    expect(isReused(['Cache-Control', 'max-age=10'], 20, { status })).toBe(false);
  });

  it.each([100, 103, 304, 412, 416, 428, 429, 431, 511, 600])(
    '§3 does not store %i: interim, or a response to something outside the key',
    (status) => {
      expect(refusal(FRESH, { status })).toBe('status');
    },
  );

  it.each([201, 202, 302, 403, 500, 503, 599])(
    '§3 does not store %i without explicit freshness',
    (status) => {
      expect(refusal(['Last-Modified', dateIn(-100_000), 'ETag', '"a"'], { status })).toBe('no-freshness');
    },
  );

  it('§3 stores a response with zero lifetime only if it can be validated', () => {
    expect(refusal(['Cache-Control', 'max-age=0', 'ETag', '"a"'])).toBe('stored');
    expect(refusal(['Cache-Control', 'max-age=0', 'Last-Modified', dateIn(-5)])).toBe('stored');
    expect(refusal(['Cache-Control', 'max-age=0'])).toBe('no-freshness');
    expect(refusal([])).toBe('no-freshness');
    expect(refusal(['ETag', '"a"'])).toBe('stored');
  });

  it('§3 stores a response that is usable only within a stale window', () => {
    expect(refusal(['Cache-Control', 'max-age=0, stale-while-revalidate=60'])).toBe('stored');
    expect(refusal(['Cache-Control', 'max-age=0, must-revalidate, stale-while-revalidate=60'])).toBe(
      'no-freshness',
    );
  });

  it.each([
    'no-store',
    'NO-STORE',
    'max-age=60, No-Store',
    'no-store=1',
    'no-store="x"',
    'no-store max-age=60',
  ])('§3 does not store with %s', (value) => {
    expect(refusal(['Cache-Control', value])).toBe('no-store');
  });

  it('§3 does not store an event stream', () => {
    expect(refusal([...FRESH, 'Content-Type', 'text/event-stream; charset=utf-8'])).toBe('event-stream');
    expect(refusal([...FRESH, 'Content-Type', 'Text/Event-Stream'])).toBe('event-stream');
  });

  it('§3 does not store a response with Set-Cookie, or stores it without that field, as the route says', () => {
    const fields = [...FRESH, 'Set-Cookie', 'sid=1'];
    expect(refusal(fields)).toBe('set-cookie');
    expect(hasField(stored(fields, { policy: policy({ setCookie: 'strip' }) }).fields, 'set-cookie')).toBe(
      false,
    );
  });

  it('§3 does not store a response with more tags than the limit', () => {
    const fields = [...FRESH, 'Surrogate-Key', 'a b c'];
    expect(refusal(fields, { policy: policy({ maxTags: 2 }) })).toBe('too-many-tags');
    expect(refusal(fields, { policy: policy({ maxTags: 3 }) })).toBe('stored');
  });
});

describe('§3.1 fields that are not stored', () => {
  it('§3.1 leaves out hop-by-hop fields, and those that Connection names', () => {
    const meta = stored([
      ...FRESH,
      'Connection',
      'close, X-Hop, Keep-Alive',
      'X-Hop',
      '1',
      'Keep-Alive',
      'timeout=5',
      'Proxy-Connection',
      'close',
      'Transfer-Encoding',
      'chunked',
      'Upgrade',
      'h2c',
      'TE',
      'trailers',
      'X-End',
      '2',
    ]);
    for (const name of [
      'connection',
      'x-hop',
      'keep-alive',
      'proxy-connection',
      'transfer-encoding',
      'upgrade',
      'te',
    ]) {
      expect(hasField(meta.fields, name), name).toBe(false);
    }
    expect(fieldValue(meta.fields, 'x-end')).toBe('2');
  });

  it('§3.1 does not let Connection remove fields that the decision depends on', () => {
    const meta = stored([...FRESH, 'Connection', 'Cache-Control, Vary', 'Vary', 'Accept']);
    expect(meta.lifetimeSeconds).toBe(3600);
    expect(meta.vary).toEqual(['accept']);
    expect(hasField(meta.fields, 'vary')).toBe(true);
  });

  it.each(['Proxy-Authenticate', 'Proxy-Authentication-Info', 'Proxy-Authorization'])(
    '§3.1 leaves out %s',
    (name) => {
      expect(hasField(stored([...FRESH, name, 'x']).fields, name.toLowerCase())).toBe(false);
    },
  );

  it('§3.1 keeps unknown and repeated fields unchanged', () => {
    const { fields } = stored([...FRESH, 'X-A', '1', 'x-a', '2', 'Link', '<a>, <b>']);
    expect(fields.filter((_, i) => i % 2 === 0 && /^(x-a|link)$/i.test(fields[i]!))).toEqual([
      'X-A',
      'x-a',
      'Link',
    ]);
  });

  it('§3.1 leaves out the fields that no-cache or private name', () => {
    const { fields, noCache } = stored([
      'Cache-Control',
      'max-age=60, no-cache="X-A, x-b", private="X-C"',
      'X-A',
      '1',
      'X-B',
      '2',
      'X-C',
      '3',
      'X-D',
      '4',
    ]);
    expect(noCache).toBe(false);
    expect(['x-a', 'x-b', 'x-c', 'x-d'].filter((name) => hasField(fields, name))).toEqual(['x-d']);
  });

  it('§3.1 stores a response without a cookie that private names', () => {
    const meta = stored(['Cache-Control', 'max-age=60, private="set-cookie"', 'Set-Cookie', 'sid=1']);
    expect(hasField(meta.fields, 'set-cookie')).toBe(false);
  });

  it('RFC 9110 §6.6.1 gives a response without a valid Date the time of receipt', () => {
    for (const date of [[], ['Date', 'yesterday'], ['Date', dateIn(-5), 'Date', dateIn(0)]]) {
      const decision = storing([...FRESH, ...date], { fields: [...FRESH, ...date], responseTimeMs: NOW_MS });
      expect(decision.kind === 'store' && fieldValue(decision.meta.fields, 'date')).toBe(dateIn(0));
    }
  });
});

describe('§3.3 and §3.4 partial responses', () => {
  const PART = [...FRESH, 'ETag', '"a"', 'Content-Range', 'bytes 0-4/10'];
  const request = get('Range', 'bytes=0-4');

  it('§3.3 stores a single part as a part', () => {
    expect(stored(PART, { status: 206, request }).part).toEqual({ first: 0, last: 4, completeBytes: 10 });
  });

  it.each([
    'bytes 5-4/10',
    'bytes 0-10/10',
    'bytes */10',
    'items 0-4/10',
    'bytes 0-4',
    '0-4/10',
    'bytes -1-4/10',
  ])('§3.3 does not store a 206 with Content-Range %s', (range) => {
    expect(refusal([...FRESH, 'Content-Range', range], { status: 206, request })).toBe('partial');
  });

  it('§3.3 does not store several parts in one, nor a part that was not requested', () => {
    const multipart = [...FRESH, 'Content-Type', 'multipart/byteranges; boundary=x'];
    expect(refusal(multipart, { status: 206, request })).toBe('partial');
    expect(refusal(PART, { status: 206 })).toBe('partial');
  });

  it('§3.3 gives a part no heuristic lifetime', () => {
    const fields = ['Last-Modified', dateIn(-100_000), 'Content-Range', 'bytes 0-4/10'];
    expect(refusal(fields, { status: 206, request })).toBe('no-freshness');
  });
});

describe('§3.5 authenticated requests', () => {
  const request = get('Authorization', 'Basic eDp5');

  it.each(['max-age=60', 'max-age=60, proxy-revalidate', 'max-age=60, s-maxage=x'])(
    '§3.5 does not store with %s',
    (value) => {
      expect(refusal(['Cache-Control', value, 'ETag', '"a"'], { request })).toBe('authorization');
    },
  );

  it.each(['max-age=60, public', 's-maxage=60', 'max-age=60, must-revalidate'])(
    '§3.5 stores with %s',
    (value) => {
      expect(refusal(['Cache-Control', value], { request })).toBe('stored');
    },
  );

  it('§3.5 stores where the route ignores Authorization', () => {
    expect(refusal(FRESH, { request, policy: policy({ ignoreOrigin: ['authorization'] }) })).toBe('stored');
  });
});

import { describe, expect, it } from 'vitest';
import { decidePostEntry } from '../../policies/rfc9111/post-entry.ts';
import type { ReceivedResponse } from '../../policies/rfc9111/storing.ts';
import { dateIn, NOW_MS, PLAIN_POLICY, policy } from './given.ts';

const FRESH = ['Cache-Control', 'max-age=60'];
const HERE = ['Content-Location', '/items?of=1'];

/** The reason why the response to a POST of /items?of=1 is not stored for GET, or `stored`. */
function refusal(
  fields: readonly string[],
  changes: Partial<ReceivedResponse> = {},
  target = '/items?of=1',
): string {
  const received: ReceivedResponse = {
    request: { method: 'POST', fields: ['Content-Type', 'text/plain'] },
    status: 200,
    fields: ['Date', dateIn(0), ...fields],
    requestTimeMs: NOW_MS,
    responseTimeMs: NOW_MS,
    policy: PLAIN_POLICY,
    authority: 'shop.example',
    ...changes,
  };
  const { request, status } = received;
  const site = { scheme: 'http', authority: 'shop.example', aliases: ['http://127.0.0.1:3000'] };
  const exchange = { ...site, method: request.method, target, status, fields: received.fields };
  const decision = decidePostEntry(received, exchange);
  return decision.kind === 'store' ? 'stored' : decision.reason;
}

describe('RFC 9110 §9.3.3 the response to a POST', () => {
  it.each([
    '/items?of=1',
    '',
    '?of=1',
    './items?of=1',
    '/a/../items?of=1',
    'http://shop.example/items?of=1',
    'http://127.0.0.1:3000/items?of=1',
  ])('§9.3.3 is stored for a GET where Content-Location is its target: %j', (location) => {
    expect(refusal([...FRESH, 'Content-Location', location])).toBe('stored');
  });

  it.each(['/items', '/items?of=2', '/items/?of=1', 'http://elsewhere.example/items?of=1', '//[', 'items/1'])(
    '§9.3.3 is not stored with another Content-Location: %j',
    (location) => {
      expect(refusal([...FRESH, 'Content-Location', location])).toBe('method');
    },
  );

  it('§9.3.3 is not stored without Content-Location, or with two', () => {
    expect(refusal(FRESH)).toBe('method');
    expect(refusal([...FRESH, ...HERE, ...HERE])).toBe('method');
  });

  it.each([
    ['Expires', dateIn(60)],
    ['Cache-Control', 's-maxage=60'],
    ['CDN-Cache-Control', 'max-age=60'],
  ])('§9.3.3 is stored by an explicit lifetime of its own: %s: %s', (name, value) => {
    expect(refusal([name, value, ...HERE])).toBe('stored');
  });

  it('§9.3.3 is not stored by a heuristic, nor by a lifetime of the route', () => {
    expect(refusal([...HERE, 'Last-Modified', dateIn(-1e6)])).toBe('no-freshness');
    expect(refusal([...HERE, 'ETag', '"a"'])).toBe('no-freshness');
    expect(refusal(HERE, { policy: policy({ defaultTtlMs: 60_000 }) })).toBe('no-freshness');
    expect(refusal([...FRESH, ...HERE], { policy: policy({ freshness: 'fixed', ttlMs: 60_000 }) })).toBe(
      'method',
    );
  });

  it.each([201, 202, 204, 303, 404, 500])('§9.3.3 is not stored with status %i', (status) => {
    expect(refusal([...FRESH, ...HERE], { status })).toBe('method');
  });

  it.each(['PUT', 'PATCH', 'DELETE', 'post', 'M-SEARCH'])('§9.3.3 is not stored for %s', (method) => {
    expect(refusal([...FRESH, ...HERE], { request: { method, fields: [] } })).toBe('method');
  });

  it('§3 is stored by the rules of a response to GET', () => {
    expect(refusal([...HERE, 'Cache-Control', 'max-age=60, private'])).toBe('private');
    expect(refusal([...FRESH, ...HERE, 'Set-Cookie', 'a=b'])).toBe('set-cookie');
    expect(refusal([...FRESH, ...HERE, 'Vary', '*'])).toBe('vary-star');
    const authorized = { request: { method: 'POST', fields: ['Authorization', 'Basic x'] } };
    expect(refusal([...FRESH, ...HERE], authorized)).toBe('authorization');
  });

  it('§4.2.3 is not stored where it is from a cache at the origin', () => {
    expect(refusal([...FRESH, ...HERE, 'Age', '1'])).toBe('method');
  });
});

import { describe, expect, it } from 'vitest';
import { explain, type ExplainedRequest } from '../../proxy/cli/explanation.ts';
import { durationWords } from '../../proxy/cli/policy-sentences.ts';
import { configOf } from '../config/load.ts';

const CONFIG = configOf(`
origins:
  shop: { url: 'http://127.0.0.1:1' }
  site: { url: 'http://127.0.0.1:2', host-header: client }
feeds:
  changes: { type: sse, url: 'http://127.0.0.1:1/changes' }
routes:
  - { name: posted, match: { path: '/products/{id}', methods: [POST] }, origin: shop }
  - name: product
    match: /products/{id}
    origin: shop
    cache:
      freshness: until-changed
      feed: changes
      max-ttl: 24h
      tags: ['product:{id}']
      key: { query: { except: [utm] }, headers: [x-country] }
  - { name: elsewhere, match: { path: /about, host: b.example }, origin: site }
  - { name: about, match: { path: /about, methods: [GET, PUT] }, origin: site, cache: { freshness: fixed, ttl: 90s } }
  - { name: live, match: /live/*, origin: shop, cache: { freshness: none } }
`);

function explained(method: string, path: string, given: Partial<ExplainedRequest> = {}) {
  const [pathAlone, query = ''] = path.split('?');
  const place = { authority: null, path: pathAlone!, query };
  return explain(CONFIG, { method, place, scheme: 'http', fields: [], ...given });
}

/** The explanation of a request that a route takes. */
function routeOf(explanation: ReturnType<typeof explain>) {
  const { verdict } = explanation;
  if (verdict.kind !== 'route') throw new Error(verdict.kind);
  return verdict.route;
}

describe('the explanation of a request', () => {
  it('names its route, and why those before it do not match', () => {
    const { routes, verdict } = explained('GET', '/about');
    expect(verdict).toMatchObject({ kind: 'route', route: { name: 'about', handling: 'cache' } });
    expect(routes).toEqual([
      { name: 'posted', takes: false, why: 'does not match /products/{id}' },
      { name: 'product', takes: false, why: 'does not match /products/{id}' },
      { name: 'elsewhere', takes: false, why: 'applies only to the host b.example' },
      { name: 'about', takes: true, why: 'matches /about' },
    ]);
    expect(explained('GET', '/products/1').routes[0]).toEqual({
      name: 'posted',
      takes: false,
      why: 'accepts POST, not GET',
    });
  });

  it("uses Weir's own address where the request has no host", () => {
    expect(explained('GET', '/about').url).toBe('http://127.0.0.1:8080/about');
    expect(explained('GET', '/about', { fields: ['Host', 'B.example'] }).routes).toContainEqual({
      name: 'elsewhere',
      takes: true,
      why: 'matches /about',
    });
  });

  it('has the key, the request to the origin, and the tags', () => {
    const { entry, origin } = routeOf(
      explained('GET', '/products/7?utm=x&a=1', { fields: ['X-Country', 'de'] }),
    );
    expect(origin.target).toBe('/products/7?a=1');
    expect(entry!.key).toMatch(/^shop@[0-9a-f]{12}\n\n\/products\/7\?a=1\nh:x-country=de$/);
    expect(entry!.tags).toEqual(
      expect.arrayContaining(['all', 'route:product', 'feed:changes', 'product:7']),
    );
    const seen = routeOf(
      explained('GET', '/about', { place: { authority: 'a.example', path: '/about', query: '' } }),
    );
    expect(seen.entry!.key).toContain('\nhttp://a.example\n/about');
  });

  it('shows what would be done with responses', () => {
    const fates = (path: string) => routeOf(explained('GET', path)).responses.map(({ fate }) => fate);
    expect(fates('/about')).toEqual([
      'stored, fresh for 90s (fixed)',
      'stored, fresh for 90s (fixed)',
      'not stored: private',
      'not stored: no-store',
      'not stored: set-cookie',
      'stored, fresh for 10s (negative-ttl)',
    ]);
    expect(fates('/products/1')[0]).toBe('stored, fresh for 1d (until-changed)');
  });

  it('describes the policy in words', () => {
    const { policy } = routeOf(explained('GET', '/products/1'));
    expect(policy).toEqual([
      'fresh until the feed changes reports a change, at most 1d; 404 and 410 for 10s',
      'while the feed changes is not live: every use is revalidated',
      'stale while it is being revalidated: as the response says',
      'stale while the origin fails: as the response says',
      'Cache-Control and Pragma of requests: ignored',
      'a response with Set-Cookie is not stored',
      'in the key: the path, the query without utm and the header x-country',
    ]);
  });

  it('shows where nothing is stored', () => {
    expect(routeOf(explained('GET', '/live/a'))).toMatchObject({
      entry: null,
      policy: ['nothing is stored: every request goes to the origin'],
    });
    expect(routeOf(explained('PUT', '/about'))).toMatchObject({ handling: 'write', entry: null });
    expect(routeOf(explained('OPTIONS', '/live/a'))).toMatchObject({ handling: 'pass', entry: null });
  });

  it('shows that no route takes the request', () => {
    expect(explained('GET', '/nowhere').verdict).toEqual({ kind: 'no-route' });
    expect(explained('POST', '/about').verdict).toEqual({
      kind: 'method-not-allowed',
      allow: ['GET', 'HEAD', 'PUT'],
    });
  });
});

describe('durations', () => {
  it.each([
    [0, '0ms'],
    [250, '250ms'],
    [90_000, '90s'],
    [3_600_000, '1h'],
    [172_800_000, '2d'],
  ])('of %d ms are written %s', (ms, words) => {
    expect(durationWords(ms)).toBe(words);
  });
});

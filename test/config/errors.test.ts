import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { configOf, errorsOf, load } from './load.ts';

const ORIGIN = 'origins: { shop: { url: "http://shop:3000" } }\n';

const feed = (rest: string) => `${ORIGIN}feeds: { f: { type: sse, url: u${rest} } }`;

describe('errors', () => {
  it('are reported all at once, in the order of the text: wrong keys, wrong values and unknown names', () => {
    const errors = errorsOf(`lisen: {}
listen:
  port: 80800
  workers: none
admin: { host: 0.0.0.0, tokn: x }
cache: big
origins:
  shop: { url: "http://u:p@h/", queue: { size: 1.5 } }
  third: {}
feeds:
  g: { type: sse, map: [{ when: { a: { exist: true } }, invalidate: {} }] }
defaults: { cache: { ttl: 5x } }
routes:
  - { name: a, match: products, origin: shopp, cache: { freshness: fix } }
  - { name: b, match: { path: /x, mehtods: [] }, origin: third, write: { update: true, polycy: through } }
  - 5
`);
    expect(errors).toEqual([
      '1:1 lisen: expected one of listen, admin, log, cache, cache-status, fence, flights, journal, writes, origins, feeds, defaults, routes (did you mean listen?), got lisen',
      '3:9 listen.port: expected a whole number from 0 to 65535, got 80800',
      '4:12 listen.workers: expected auto, or a whole number from 1 to 256, got "none"',
      '5:16 admin.host: expected a loopback address, or a token, got "0.0.0.0"',
      '5:25 admin.tokn: expected one of host, port, token, limits (did you mean token?), got tokn',
      '6:8 cache: expected a map, got "big"',
      '8:16 origins.shop.url: expected an origin URL without credentials, got "http://…@h/"',
      '8:48 origins.shop.queue.size: expected a whole number from 0 to 1000000000, got 1.5',
      '9:3 origins.third.url: expected an http(s) URL, a list of them, or demo:, got nothing',
      '11:3 feeds.g.url: expected a text, got nothing',
      '11:40 feeds.g.map[0].when.a.exist: expected one of exists, changed (did you mean exists?), got exist',
      '11:69 feeds.g.map[0].invalidate: expected at least one tag, URL or prefix, got an empty map',
      '12:27 defaults.cache.ttl: expected a duration such as 200ms, 30s or 24h (ms, s, m, h, d), got "5x"',
      '14:23 routes[0].match: expected a path pattern that begins with /, got "products"',
      '14:41 routes[0].origin: expected one of shop, third (did you mean shop?), got "shopp"',
      '14:68 routes[0].cache.freshness: expected one of headers, fixed, until-changed, none (did you mean fixed?), got "fix"',
      '15:35 routes[1].match.mehtods: expected one of path, host, methods (did you mean methods?), got mehtods',
      '15:82 routes[1].write.update: expected policy: through with update: true, got policy: around',
      '15:88 routes[1].write.polycy: expected one of policy, invalidate, update, reads, coalesce, read-whole, max-body, oversize, on-full, on-dead, retry (did you mean policy?), got polycy',
      '16:5 routes[2]: expected a map, got 5',
    ]);
  });

  it('have file, line, column, path, expected and got', () => {
    expect(load('origins: {}', { file: 'conf/weir.yaml' })).toEqual({
      kind: 'invalid',
      errors: [
        {
          file: 'conf/weir.yaml',
          line: 1,
          column: 10,
          path: 'origins',
          message: 'expected at least one origin, got none',
        },
      ],
    });
  });

  it.each([
    ['', '1:1 origins: expected at least one origin, got none'],
    ['- a', '1:1 (document): expected a map, got a list'],
    ['a: [1,\nb: 2', '2:1 (document): expected YAML, got this: Flow sequence in block collection must be'],
    [
      'a: b: c',
      '1:4 (document): expected YAML, got this: Nested mappings are not allowed in compact mappings',
    ],
    ['a: !what x', '1:4 (document): expected YAML, got this: Unresolved tag: !what'],
    ['a: 1\n---\nb: 2', '2:1 (document): expected YAML, got this: Source contains multiple documents'],
    [
      'log: { level: ${X} }',
      '1:16 (document): expected YAML, got this: Unexpected flow-map-start at node end (inside { } and [ ], a text with',
    ],
    [
      'listen:\n  port: 1\n  port: 2',
      '3:3 listen.port: expected each key once, as a plain name, got port again',
    ],
    ['log: { level: *x }', '1:15 log.level: expected an alias of an anchor that stands above, got *x'],
    ['log: &x { level: *x }', '1:18 log.level: expected an alias of an anchor that stands above, got *x'],
    ['routes: &a [*a]', '1:13 routes[0]: expected an alias of an anchor that stands above, got *a'],
    ['? { a: 1 }\n: 2', '1:3 "{\\"a\\":1}": expected each key once, as a plain name'],
    ['__proto__: 1', '1:1 __proto__: expected each key once, as a plain name, got __proto__ again'],
    ['origins: { "a b": { url: "demo:" } }', '1:12 origins."a b": expected a name of letters, digits, dots'],
  ])('explain what is wrong with %j', (text, expected) => {
    expect(errorsOf(text)).toEqual(expect.arrayContaining([expect.stringContaining(expected)]));
  });

  it('do not show values that may be secret', () => {
    const errors = errorsOf(`${ORIGIN}admin: { token: 12345 }`);
    expect(errors).toEqual(['2:17 admin.token: expected a text, got something else']);
    const sse = { readLag: '0s', schema: z.strictObject({ secrets: z.array(z.string().min(9)) }) };
    const text = `${ORIGIN}feeds: { f: { type: sse, secrets: [hush] } }`;
    expect(errorsOf(text, { feedTypes: { sse } })).toEqual([
      '2:36 feeds.f.secrets[0]: expected a length of at least 9, got something else',
    ]);
  });
});

describe('an origin', () => {
  it.each([
    ['http://shop', ['http://shop']],
    ['HTTPS://Shop:443/', ['https://shop']],
    ['http://[::1]:3000', ['http://[::1]:3000']],
    ['demo:', ['demo:']],
  ])('may be at %s', (url, urls) => {
    expect(configOf(`origins: { shop: { url: "${url}" } }`).origins['shop']?.urls).toEqual(urls);
  });

  it.each([
    ['"ftp://shop"', '26 origins.shop.url: expected an http(s) URL or demo:, got "ftp://shop"'],
    ['"http:shop"', '26 origins.shop.url: expected an http(s) URL or demo:, got "http:shop"'],
    ['"http://"', '26 origins.shop.url: expected an http(s) URL or demo:, got "http://"'],
    ['"http://a/b"', '26 origins.shop.url: expected an origin URL without a path'],
    ['"http://a?b"', '26 origins.shop.url: expected an origin URL without query or fragment'],
    ['"http://a:b@c"', '26 origins.shop.url: expected an origin URL without credentials, got "http://…@c"'],
    ['["http://a", 5]', '39 origins.shop.url[1]: expected an http(s) URL or demo:, got 5'],
    ['[]', '26 origins.shop.url: expected at least one URL, got an empty list'],
    [
      '["demo:", "http://a"]',
      '26 origins.shop.url: expected http(s) URLs, or demo: alone, got demo: among others',
    ],
    ['5', '26 origins.shop.url: expected an http(s) URL, a list of them, or demo:, got 5'],
  ])('may not be at %s', (url, expected) => {
    expect(errorsOf(`origins: { shop: { url:  ${url} } }`)).toEqual([
      expect.stringContaining(`1:${expected}`),
    ]);
  });
});

describe('ports and addresses', () => {
  it.each(['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1'])(
    'make a token optional for the admin side on %s',
    (host) => {
      expect(errorsOf(`${ORIGIN}admin: { host: "${host}" }`)).toEqual([]);
    },
  );

  it.each(['0.0.0.0', '::', '10.0.0.1', 'admin.example'])(
    'require a token for the admin side on %s',
    (host) => {
      expect(errorsOf(`${ORIGIN}admin: { host: "${host}" }`)).toHaveLength(1);
      expect(errorsOf(`${ORIGIN}admin: { host: "${host}", token: t }`)).toEqual([]);
    },
  );

  it('are different for the two sides', () => {
    expect(errorsOf(`${ORIGIN}admin: { port: 8080 }`)).toEqual([
      '2:16 admin.port: expected another port than that of listen, got 8080',
    ]);
    expect(errorsOf(`${ORIGIN}admin: { port: 0 }\nlisten: { port: 0 }`)).toEqual([]);
  });

  it('can be CIDR blocks and addresses as trusted proxies', () => {
    const blocks = '[10.0.0.0/8, "fd00::/8", 192.0.2.7, "::1"]';
    expect(configOf(`${ORIGIN}listen: { trusted-proxies: ${blocks} }`).listen.trustedProxies).toHaveLength(4);
    expect(errorsOf(`${ORIGIN}listen: { trusted-proxies: [10.0.0.0/33, proxy] }`)).toHaveLength(2);
  });
});

describe('feeds', () => {
  it('have the keys of all feeds and those of their type', () => {
    expect(errorsOf(feed(', slot: s'))).toEqual([
      '2:34 feeds.f.slot: expected one of url, replay, type, format, max-silence, read-lag, version-field, map, demo, got slot',
    ]);
    expect(errorsOf(`${ORIGIN}feeds: { f: { url: u } }`)).toEqual([
      '2:10 feeds.f.type: expected one of sse, postgres, got nothing',
    ]);
  });

  it('have a registered type, and its default read lag', () => {
    expect(errorsOf(`${ORIGIN}feeds: { f: { type: log, path: p } }`)).toEqual([
      '2:21 feeds.f.type: expected one of sse, postgres, got "log"',
    ]);
    const log = { readLag: '3s', schema: z.strictObject({ path: z.string() }) };
    const config = configOf(`${ORIGIN}feeds: { f: { type: log, path: p } }`, { feedTypes: { log } });
    expect(config.feeds['f']).toMatchObject({ type: 'log', readLagMs: 3_000, options: { path: 'p' } });
  });

  it('must invalidate something', () => {
    expect(errorsOf(feed(', map: [{ invalidate: {} }]'))).toEqual([
      '2:54 feeds.f.map[0].invalidate: expected at least one tag, URL or prefix, got an empty map',
    ]);
    expect(errorsOf(feed(', map: [{ invalidate: { urls: [products], tags: ["{a"] } }]'))).toHaveLength(2);
  });

  it('may have conditions for equal, one of several, existing and changed values', () => {
    const when = '{ table: p, after.n: [1, null], before: { exists: false }, price: { changed: true } }';
    const config = configOf(feed(`, map: [{ when: ${when}, invalidate: { tags: ["{after.id}"] } }]`));
    expect(config.feeds['f']?.map[0]?.when).toEqual({
      table: 'p',
      'after.n': [1, null],
      before: { exists: false },
      price: { changed: true },
    });
  });
});

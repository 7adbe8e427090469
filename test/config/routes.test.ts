import { describe, expect, it } from 'vitest';
import { configOf, errorsOf, warningsOf } from './load.ts';

const ORIGIN = 'origins: { shop: { url: "http://shop:3000/" } }\n';
const TWO_ORIGINS = 'origins: { shop: { url: "http://shop" }, blog: { url: ["http://a", "http://b:81"] } }\n';

const unreached = (...matches: string[]) =>
  errorsOf(
    `${ORIGIN}routes:\n${matches.map((match, i) => `  - name: r${i}\n    match: ${match}\n`).join('')}`,
  );

describe('routes', () => {
  it('default to one for everything', () => {
    for (const routes of ['', 'routes:\n', 'routes: []\n']) {
      const config = configOf(`${ORIGIN}${routes}defaults: { cache: { client-directives: honor } }`);
      expect(config.routes).toMatchObject([
        {
          name: 'default',
          match: { path: '/*', host: null, methods: null },
          origin: 'shop',
          cache: { clientDirectives: 'honor' },
        },
      ]);
    }
  });

  it('are required where there are several origins', () => {
    expect(errorsOf(TWO_ORIGINS)).toEqual(['1:1 routes.origin: expected one of shop, blog, got nothing']);
  });

  it('go to the only origin where they name none', () => {
    expect(configOf(`${ORIGIN}routes: [{ match: /* }]`).routes[0]?.origin).toBe('shop');
  });

  it('have their pattern as a name where they name none', () => {
    const config = configOf(
      `${ORIGIN}routes: [{ match: { path: /a, host: h, methods: [GET, POST] } }, { match: /* }]`,
    );
    expect(config.routes.map(({ name }) => name)).toEqual(['GET,POST h/a', '/*']);
  });

  it('get the defaults merged key by key, and lists replaced', () => {
    const config = configOf(`${ORIGIN}
defaults:
  cache: { freshness: fixed, ttl: 5s, tags: [a, b], key: { headers: [x], query: { only: [q] } } }
  write: { invalidate: { tags: [w] }, retry: { attempts: 3 } }
routes:
  - match: /a
    cache: { ttl: 9s, tags: [c], key: { query: { except: [p] } } }
    write: { retry: { base: 1s } }
  - match: /*
    cache: { freshness: headers }`);
    expect(config.routes).toMatchObject([
      {
        cache: {
          freshness: 'fixed',
          ttlMs: 9000,
          tags: ['c'],
          key: { headers: ['x'], query: { except: ['p'] } },
        },
        write: { invalidate: { tags: ['w'] }, retry: { attempts: 3, baseMs: 1000 } },
      },
      { cache: { freshness: 'headers', tags: ['a', 'b'], key: { query: { only: ['q'] } } } },
    ]);
  });

  it('cause a warning where the last does not match all other paths', () => {
    expect(warningsOf(`${ORIGIN}routes: [{ match: /a }]`)).toEqual([
      '2:1 routes: expected a last route that matches /*, got none: other paths get 404',
    ]);
    expect(warningsOf(`${ORIGIN}routes: [{ match: { path: /*, methods: [GET] } }]`)).toEqual([]);
    expect(warningsOf(`${ORIGIN}routes: [{ match: { path: /*, host: a } }]`)).toHaveLength(1);
  });

  it('cause a warning for a field that listen.underscores drops', () => {
    const routes =
      'routes: [{ match: /*, cache: { key: { headers: [x_a, x-b] }, bypass: { headers: [x.c] } } }]';
    expect(warningsOf(`${ORIGIN}${routes}`)).toEqual([
      expect.stringContaining('got x_a: it is always dropped'),
      expect.stringContaining('got x.c: it is always dropped'),
    ]);
    expect(warningsOf(`${ORIGIN}listen: { underscores: keep }\n${routes}`)).toEqual([]);
  });

  it('cause a warning for a lifetime that has no effect', () => {
    expect(warningsOf(`${ORIGIN}routes: [{ match: /*, cache: { ttl: 5s } }]`)).toEqual([
      '2:37 routes[0].cache.ttl: expected freshness: fixed with ttl, got headers: it has no effect',
    ]);
    expect(warningsOf(`${ORIGIN}defaults: { cache: { ttl: 5s } }`)).toEqual([]);
  });
});

describe('the error of a route', () => {
  const route = (rest: string) => `${ORIGIN}routes:\n  - match: /p/{id}\n${rest}`;
  it.each([
    [
      `${TWO_ORIGINS}routes: [{ match: /* }]`,
      '2:10 routes[0].origin: expected one of shop, blog, got nothing',
    ],
    [
      `${TWO_ORIGINS}routes: [{ match: /*, origin: shpo }]`,
      '2:31 routes[0].origin: expected one of shop, blog (did you mean shop?), got "shpo"',
    ],
    [
      `${ORIGIN}routes: [{ name: a, match: /a }, { name: a, match: /b }]`,
      '2:42 routes[1].name: expected a name of its own, got "a" again',
    ],
    [
      `${ORIGIN}routes: [{ match: /a }, { match: /a }]`,
      '2:25 routes[1].name: expected a name of its own, got "/a" again',
    ],
    [
      route('    cache: { freshness: fixed }'),
      '4:25 routes[0].cache.freshness: expected a ttl with freshness: fixed, got none',
    ],
    [
      route('    cache: { freshness: until-changed }'),
      '4:25 routes[0].cache.freshness: expected a feed with freshness: until-changed, got none',
    ],
    [
      `defaults: { cache: { freshness: fixed } }\n${ORIGIN}`,
      '1:33 defaults.cache.freshness: expected a ttl with freshness: fixed, got none',
    ],
    [
      route('    cache: { feed: db }'),
      '4:20 routes[0].cache.feed: expected the name of a feed (there are none), got "db"',
    ],
    [
      `feeds: { db: { type: postgres, slot: s } }\n${route('    cache: { feed: bd }')}`,
      '5:20 routes[0].cache.feed: expected one of db, got "bd"',
    ],
    [
      route('    cache: { tags: [x, "p:{id}:{lang}"] }'),
      '4:24 routes[0].cache.tags[1]: expected parameters of route /p/{id}: {id}, got {lang}',
    ],
    [
      route('    write: { invalidate: { urls: ["/q/{x}"] } }'),
      '4:35 routes[0].write.invalidate.urls[0]: expected parameters of route /p/{id}: {id}, got {x}',
    ],
    [
      `defaults: { cache: { tags: ["{id}"] } }\n${ORIGIN}`,
      '1:29 defaults.cache.tags[0]: expected no {name}, as the pattern of route default has none, got {id}',
    ],
    [
      route('    write: { update: true }'),
      '4:22 routes[0].write.update: expected policy: through with update: true, got policy: around',
    ],
    [
      route('    write: { policy: through, coalesce: true }'),
      '4:41 routes[0].write.coalesce: expected policy: behind with coalesce: true, got policy: through',
    ],
    [
      route('    write: { retry: { base: 2m } }'),
      '4:29 routes[0].write.retry.base: expected no more than max, got more',
    ],
  ])('is reported in %j', (text, expected) => {
    expect(errorsOf(text)).toContain(expected);
  });

  it.each([
    'product',
    '/a/{b}c',
    '/a/{b}/{b}',
    '/a/*/b',
    '/a*',
    '/a/../b',
    '/ü',
    '/a?b',
    '/{}',
    '/{1}',
    '/a b',
    '/%7Ea',
    '/%2f',
  ])('is reported for the pattern %s', (pattern) => {
    expect(errorsOf(`${ORIGIN}routes: [{ match: "${pattern}" }]`)).toEqual([
      expect.stringMatching(/^2:19 routes\[0\]\.match: expected a path pattern .*, got "/),
    ]);
  });
});

describe('a route that is never reached', () => {
  it.each([
    ['/*', '/a'],
    ['/*', '/'],
    ['/p/*', '/p'],
    ['/p/*', '/p/{id}/x/*'],
    ['/p/{id}', '/p/x'],
    ['/p/{id}', '{ path: "/p/{other}", host: h }'],
    ['/{a}/*', '/{b}/c/*'],
    ['{ path: /*, host: h }', '{ path: /a, host: "h:80" }'],
    ['{ path: /*, methods: [GET, POST] }', '{ path: /a, methods: [HEAD] }'],
  ])('causes a warning after %s for %s', (earlier, later) => {
    expect(unreached(earlier, later)).toEqual([
      expect.stringContaining(
        'routes[1].match: expected a request that no earlier route takes, got what route r0',
      ),
    ]);
  });

  it.each([
    ['/a', '/*'],
    ['/p/x', '/p/{id}'],
    ['/p/{id}', '/p/*'],
    ['/p/{id}', '/p/'],
    ['/p', '/p/'],
    ['/p/{id}', '/p/{id}/*'],
    ['{ path: /*, host: h }', '/a'],
    ['{ path: /*, host: "h:80" }', '{ path: /*, host: h }'],
    ['{ path: /*, host: h }', '{ path: /a, host: hh }'],
    ['{ path: /*, methods: [GET] }', '/a'],
    ['{ path: /*, methods: [HEAD] }', '{ path: /a, methods: [GET] }'],
  ])('is not found after %s for %s', (earlier, later) => {
    expect(unreached(earlier, later)).toEqual([]);
  });
});

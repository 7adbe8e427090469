import { describe, expect, it } from 'vitest';
import type { RouteConfig } from '../../policies/config/config.ts';
import type { Router } from '../../policies/routing.ts';
import { compileRoutes, patternProblem, takesAllOf } from '../../policies/routing.ts';
import { fc } from '../support/properties.ts';
import { configOf } from './load.ts';

const [BASE] = configOf('origins: { shop: { url: "demo:" } }').routes;

/**
 * Routes with these matches, as the loader makes them, without its check for routes that are never reached.
 */
function routes(...matches: readonly (string | Partial<RouteConfig['match']>)[]): RouteConfig[] {
  return matches.map((match, i) => {
    const given = typeof match === 'string' ? { path: match } : match;
    return Object.assign({}, BASE, {
      name: `r${i}`,
      match: { path: '/*', host: null, methods: null, ...given },
    });
  });
}

function found(router: Router, path: string, method = 'GET', host = 'shop.example'): unknown {
  const result = router.match(method, host, path);
  switch (result.kind) {
    case 'route':
      return { name: result.route.name, ...result.params };
    case 'method-not-allowed':
      return result.allow;
    case 'no-route':
      return 'no-route';
  }
}

describe('a pattern', () => {
  it.each([
    ['/', '/', {}],
    ['/a', '/a', {}],
    ['/a/', '/a/', {}],
    ['/*', '/', {}],
    ['/*', '/a/b', {}],
    ['/p/*', '/p', {}],
    ['/p/*', '/p/', {}],
    ['/p/*', '/p/a/b/', {}],
    ['/p/{id}', '/p/7', { id: '7' }],
    ['/p/{id}', '/p/a%20b', { id: 'a%20b' }],
    ['/{a}/x/{b-2}', '/1/x/2', { a: '1', 'b-2': '2' }],
    ['/{a}/*', '/1', { a: '1' }],
    ['/{a}/*', '/1/2/3', { a: '1' }],
    ['/p//q', '/p//q', {}],
    ['/{__proto__}', '/7', JSON.parse('{ "__proto__": "7" }') as object],
    ['/a.b+c:d@e', '/a.b+c:d@e', {}],
  ])('%s matches %s', (pattern, path, params) => {
    const result = compileRoutes(routes(pattern)).match('GET', 'shop.example', path);
    expect(result.kind === 'route' && Object.entries(result.params)).toEqual(Object.entries(params));
  });

  it.each([
    ['/', '/a'],
    ['/a', '/a/'],
    ['/a', '/A'],
    ['/a', '/ab'],
    ['/a', '/'],
    ['/p/*', '/px'],
    ['/p/*', '/'],
    ['/p/{id}', '/p'],
    ['/p/{id}', '/p/'],
    ['/p/{id}', '/p/7/'],
    ['/p/{id}', '/p/7/x'],
    ['/p/{id}/x', '/p//x'],
    ['/a.b', '/aXb'],
    ['/*', '*'],
  ])('%s does not match %s', (pattern, path) => {
    expect(found(compileRoutes(routes(pattern)), path)).toBe('no-route');
  });
});

describe('a router', () => {
  it('takes the first route that matches, in the order of the file', () => {
    const router = compileRoutes(routes('/p/x', '/p/{id}', '/p/*', '/*'));
    expect(['/p/x', '/p/y', '/p/y/z', '/q'].map((path) => found(router, path))).toEqual([
      { name: 'r0' },
      { name: 'r1', id: 'y' },
      { name: 'r2' },
      { name: 'r3' },
    ]);
  });

  it("gives the route's place in the file", () => {
    expect(compileRoutes(routes('/a', '/b')).match('GET', 'h', '/b')).toMatchObject({
      kind: 'route',
      index: 1,
    });
  });

  it('matches any port for a host without one, and only its port for a host with one', () => {
    const router = compileRoutes(routes({ host: 'a' }, { host: 'b:81' }, { host: '[::1]' }));
    const hosts = ['a', 'a:80', 'aa', 'a.b', 'b', 'b:80', 'b:81', '[::1]:80', 'c'];
    expect(hosts.map((host) => found(router, '/', 'GET', host))).toEqual([
      { name: 'r0' },
      { name: 'r0' },
      'no-route',
      'no-route',
      'no-route',
      'no-route',
      { name: 'r1' },
      { name: 'r2' },
      'no-route',
    ]);
  });

  it('goes on to a route that allows the method', () => {
    const router = compileRoutes(routes({ path: '/a', methods: ['GET'] }, { path: '/a', methods: ['POST'] }));
    expect([found(router, '/a'), found(router, '/a', 'POST')]).toEqual([{ name: 'r0' }, { name: 'r1' }]);
  });

  it('matches HEAD where it matches GET', () => {
    expect(found(compileRoutes(routes({ methods: ['GET'] })), '/', 'HEAD')).toEqual({ name: 'r0' });
    expect(found(compileRoutes(routes({ methods: ['POST'] })), '/', 'HEAD')).toEqual(['POST']);
  });

  it("lists the path's methods where no route allows the request's", () => {
    const router = compileRoutes(
      routes(
        { path: '/a', methods: ['GET', 'POST'] },
        { path: '/{x}', methods: ['PUT', 'GET'] },
        { path: '/b', methods: ['PATCH'] },
        { path: '/a', methods: ['COPY'], host: 'other' },
      ),
    );
    expect(found(router, '/a', 'DELETE')).toEqual(['GET', 'HEAD', 'POST', 'PUT']);
    expect(found(router, '/a', 'get')).toEqual(['GET', 'HEAD', 'POST', 'PUT']);
    expect(found(router, '/c/d', 'DELETE')).toBe('no-route');
  });
});

describe('patterns and paths of any kind', () => {
  const segment = fc.constantFrom('a', 'b', 'ab', '', '{x}', '{y}', '*');
  const pattern = fc
    .array(segment, { minLength: 1, maxLength: 4 })
    .map((segments) => `/${segments.join('/')}`)
    .filter((text) => patternProblem(text) === null);
  const path = fc
    .array(fc.constantFrom('a', 'b', 'ab', 'c', ''), { minLength: 1, maxLength: 5 })
    .map((segments) => `/${segments.join('/')}`);

  it('match as a regular expression does', () => {
    fc.assert(
      fc.property(pattern, path, (text, requested) => {
        const expression = text
          .replace(/\/\*$/, '(?:/.*)?')
          .replace(/\{\w+\}/g, '[^/]+')
          .replace(/^$/, '/');
        const fits = compileRoutes(routes(text)).match('GET', 'h', requested).kind === 'route';
        expect(fits).toBe(new RegExp(`^${expression}$`).test(requested));
      }),
      { numRuns: 2000 },
    );
  });

  it('do not let a later route match what an earlier one is found to match completely', () => {
    fc.assert(
      fc.property(pattern, pattern, path, (first, second, requested) => {
        const [earlier, later] = routes(first, second);
        fc.pre(takesAllOf(earlier!.match, later!.match));
        const result = compileRoutes([earlier!, later!]).match('GET', 'h', requested);
        expect(result.kind === 'route' ? result.index : 0).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });
});

import { describe, expect, it } from 'vitest';
import type { QueryKey } from '../../policies/config/config.ts';
import {
  decideTarget,
  keyedQuery,
  keyOf,
  normalizeTarget,
  unkeyedRequestFields,
} from '../../policies/key.ts';
import type { KeyParts } from '../../policies/key.ts';
import { policy } from '../rfc9111/given.ts';
import { fc } from '../support/properties.ts';

const normal = (target: string) => {
  const parts = normalizeTarget(target);
  if (parts === null) return null;
  return parts.query === '' ? parts.path : `${parts.path}?${parts.query}`;
};

function parts(changes: Partial<KeyParts> & { query?: string } = {}): KeyParts {
  return {
    origin: 'shop',
    seesHost: false,
    scheme: 'http',
    authority: 'shop.example',
    path: '/p',
    query: '',
    policy: policy(),
    fields: [],
    ...changes,
  };
}

describe('the normalised target', () => {
  it.each([
    ['/', '/'],
    ['/a/b?x=1&y=2', '/a/b?x=1&y=2'],
    ['/a/./b/../c', '/a/c'],
    ['/a/b/..', '/a/'],
    ['/a/.', '/a/'],
    ['/../../a', '/a'],
    ['/a//b', '/a//b'],
    ['//evil.example/a', '//evil.example/a'],
    ['/%7euser', '/~user'],
    ['/%41%2d%5F', '/A-_'],
    ['/a%2fb', '/a%2Fb'],
    ['/a%3fb', '/a%3Fb'],
    ['/%2e%2e/a', '/a'],
    ['/a/%2E%2E%2fb', '/a/..%2Fb'],
    ['/a%252fb', '/a%252fb'],
    ['/a\\..\\b', '/a%5C..%5Cb'],
    ['/a|b"<>^`{}', '/a%7Cb%22%3C%3E%5E%60%7B%7D'],
    ['/\u00e9', '/%E9'],
    ['/a;v=1/b', '/a;v=1/b'],
    ['/a?', '/a'],
    ['/a?b?c', '/a?b?c'],
    ['/a?x=%7e%2f', '/a?x=~%2F'],
    ['/a?x=100%', '/a?x=100%'],
    ['/a?x=../..', '/a?x=../..'],
    ['/a?x[]=1', '/a?x[]=1'],
    ['/A', '/A'],
    ['/...', '/...'],
  ])('for %s is %s', (target, expected) => {
    expect(normal(target)).toBe(expected);
  });

  it.each([
    '',
    'a',
    '*',
    'http://h/a',
    '/a\0',
    '/a%00',
    '/a?x=%00',
    '/a b',
    '/a\n',
    '/a\tb',
    '/a#b',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a\x7f',
  ])('does not exist for %j', (target) => {
    expect(normalizeTarget(target)).toBe(null);
  });

  it('does not change when it is normalised again', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom('/', '.', '..', '%2e', '%2F', 'a', '%', '25', '?', '\\', '\u00ff', ';', '['),
        ),
        (pieces) => {
          const once = normal(`/${pieces.join('')}`);
          return once === null || normal(once) === once;
        },
      ),
    );
  });

  it('never contains a dot segment, a control character or a fragment', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const target = normalizeTarget(`/${text}`);
        if (target === null) return true;
        const segments = target.path.split('/');
        return (
          !segments.includes('..') &&
          !segments.includes('.') &&
          [...target.path, ...target.query].every((c) => c > ' ' && c !== '\x7f' && c !== '#')
        );
      }),
    );
  });
});

describe('RFC 3986 §3.3: a path in which an origin that decodes first finds a dot segment', () => {
  it.each([
    '/fixed/..%2faccount',
    '/fixed/..%2Faccount?x=1',
    '/fixed/%2e%2e/account',
    '/fixed/.%2E/account',
    '/fixed/%2e%2e%2faccount',
    '/fixed%2f../account',
    '/fixed%2f..%2faccount',
    '/fixed/..%5caccount',
    '/fixed/..\\account',
    '/fixed\\..\\account',
    '/fixed\\../account',
    '/fixed/..;/account',
    '/fixed/..;a=b/account',
    '/fixed/..%3b/account',
    '/fixed/..%3Ba%2faccount',
    '/fixed/%252e%252e/account',
    '/fixed/%252e%252e%252faccount',
    '/fixed/..%252faccount',
    '/fixed/..%25252faccount',
    '/fixed/..%c0%afaccount',
    '/fixed/%c0%ae%c0%ae/account',
    '/fixed/..%c1%9caccount',
    '/fixed/..%3f',
    '/fixed/..%23x',
    '/fixed/..%20/account',
    '/fixed/..%09%2faccount',
    '/fixed/.%2faccount',
    '/fixed/%2e',
    '/fixed/x/..;',
    '/fixed/a/../..%2faccount',
    '/fixed;x%2f../account',
  ])('is ambiguous: %s', (target) => {
    expect(decideTarget(target, 'refuse')).toEqual({ kind: 'ambiguous' });
    expect(decideTarget(target, 'pass')).toMatchObject({ kind: 'target', isAmbiguous: true });
  });

  it.each([
    '/a/../b',
    '/a/./b',
    '/a%2Fb',
    '/a%5Cb',
    '/a\\b',
    '/a;v=1/b;c',
    '/a;..x/b',
    '/.well-known/x',
    '/...',
    '/..a/b..',
    '/%2e%2e%2e/x',
    '/%2ewell-known',
    '/100%25',
    '/a%3Fb',
    '/a?x=..%2f..',
    '/a?next=/%2e%2e/b',
    '/m%C3%B6bel',
  ])('is not ambiguous: %s', (target) => {
    expect(decideTarget(target, 'refuse')).toEqual({
      kind: 'target',
      ...normalizeTarget(target),
      isAmbiguous: false,
    });
  });

  it('is detected only in a valid target', () => {
    expect(decideTarget('/..%2f%', 'refuse')).toEqual({ kind: 'malformed' });
  });

  it('never remains in the normalised path', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('/', '.', '%2e', '%2F', '%25', '2e', 'a', ';', '\\', '%5c', '%252f')),
        (pieces) => {
          const target = `/${pieces.join('')}`;
          const decided = decideTarget(target, 'refuse');
          if (decided.kind !== 'target') return true;
          const once = decodeURIComponent(decided.path);
          return [once, decodedTwice(once)].every(
            (path) => !path.split(/[/\\]/).some((segment) => /^\.\.?(?:;|$)/.test(segment)),
          );
        },
      ),
    );
  });
});

function decodedTwice(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

describe('the keyed query', () => {
  const cases: [string, QueryKey, string][] = [
    ['b=2&a=1', 'all', 'b=2&a=1'],
    ['b=2&a=1', 'none', ''],
    ['b=2&a=1&c=3', { only: ['a', 'b'] }, 'a=1&b=2'],
    ['b=2&a=1&c=3', { except: ['b'] }, 'a=1&c=3'],
    ['a=2&b=1&a=1', { only: ['a'] }, 'a=2&a=1'],
    ['%61=1&b=2', { only: ['a'] }, '%61=1'],
    ['%61=1&b=2', { except: ['a'] }, 'b=2'],
    ['a&b', { only: ['a'] }, 'a'],
    ['x+y=1', { only: ['x y'] }, 'x+y=1'],
    ['A=1', { only: ['a'] }, ''],
    ['&&a=1&', { only: ['a'] }, 'a=1'],
    ['', { only: ['a'] }, ''],
    ['%ff=1&a=1', { except: ['a'] }, '%ff=1'],
  ];

  it.each(cases)('of %s with %j is %s', (query, rule, expected) => {
    expect(keyedQuery(query, rule)).toBe(expected);
  });

  it('does not depend on the order of different parameters where the route names them', () => {
    expect(keyedQuery('b=2&a=1', { except: ['z'] })).toBe(keyedQuery('a=1&b=2', { except: ['z'] }));
  });
});

describe('the key', () => {
  it('distinguishes origins, hosts, schemes, paths, queries, headers and cookies', () => {
    const chosen = policy({ key: { query: 'all', headers: ['x-a'], cookies: ['lang', 'tz'] } });
    const keys = [
      parts(),
      parts({ origin: 'other' }),
      parts({ seesHost: true, scheme: 'http', authority: 'a.example' }),
      parts({ seesHost: true, scheme: 'https', authority: 'a.example' }),
      parts({ seesHost: true, scheme: 'https', authority: 'b.example' }),
      parts({ path: '/q' }),
      parts({ query: 'x=1' }),
      parts({ path: '/p%3Fx=1' }),
      parts({ policy: chosen }),
      parts({ policy: chosen, fields: ['X-A', ''] }),
      parts({ policy: chosen, fields: ['X-A', '1'] }),
      parts({ policy: chosen, fields: ['Cookie', 'lang=en'] }),
      parts({ policy: chosen, fields: ['Cookie', 'lang=de; tz=1'] }),
      parts({ policy: chosen, fields: ['Cookie', 'tz=1'] }),
      parts({ policy: chosen, fields: ['Cookie', 'lang=en; lang=de'] }),
      parts({ policy: chosen, fields: ['X-A', '\u00c3\u00a0'] }),
      parts({ policy: chosen, fields: ['X-A', '\u00c3'] }),
    ].map((given) => keyOf(given).key);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('does not depend on what the route does not name', () => {
    const same = keyOf(parts()).key;
    expect(keyOf(parts({ fields: ['X-A', '1', 'Cookie', 'a=b'] })).key).toBe(same);
    const none = policy({ key: { query: 'none', headers: [], cookies: [] } });
    expect(keyOf(parts({ query: 'x=1', policy: none })).key).toBe(same);
  });

  it('uses a cookie at any position of the field', () => {
    const chosen = policy({ key: { query: 'all', headers: [], cookies: ['lang'] } });
    const key = (...cookies: string[]) =>
      keyOf(parts({ policy: chosen, fields: cookies.flatMap((c) => ['Cookie', c]) })).key;
    expect(key('a=1;lang=en; b=2')).toBe(key('lang=en'));
    expect(key('a=1; b=2')).toBe(key());
  });
});

describe('what is not in the key does not reach the origin:', () => {
  it.each(['utm_source', 'x'])('the parameter %s', (name) => {
    const only = policy({ key: { query: { only: ['id'] }, headers: [], cookies: [] } });
    expect(keyOf(parts({ query: `id=1&${name}=evil`, policy: only })).query).toBe('id=1');
  });

  it('a second parameter behind a semicolon, unless the first is in the key (cloaking)', () => {
    const only = policy({ key: { query: { only: ['id'] }, headers: [], cookies: [] } });
    const { key, query } = keyOf(parts({ query: 'id=1;callback=evil', policy: only }));
    expect(query).toBe('id=1;callback=evil');
    expect(key).toContain(query);
    const except = policy({ key: { query: { except: ['utm'] }, headers: [], cookies: [] } });
    expect(keyOf(parts({ query: 'id=1&utm=x;id=evil', policy: except })).query).toBe('id=1');
  });

  it.each([
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-HTTP-Method-Override',
    'X-Method-Override',
    'X-Host',
    'X-Forwarded-Scheme',
    'X-Forwarded-Port',
    'Content-Length',
    'Content-Type',
    'Range',
    'If-None-Match',
  ])('the field %s', (name) => {
    expect(unkeyedRequestFields([name, 'evil', 'Accept', '*/*'], policy())).toEqual(['Accept', '*/*']);
  });

  it('a field, unless the route has it in the key', () => {
    const chosen = policy({ key: { query: 'all', headers: ['x-host'], cookies: [] } });
    expect(unkeyedRequestFields(['X-Host', 'a', 'Range', 'b'], chosen)).toEqual(['X-Host', 'a']);
  });
});

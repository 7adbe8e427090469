import { describe, expect, it } from 'vitest';
import type { RouteCacheConfig } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { withoutFields } from '../../policies/http/fields.ts';
import { originFields } from '../../policies/http/forwarding.ts';
import { keyOf, normalizeTarget, unkeyedRequestFields } from '../../policies/key.ts';
import { secondaryKey } from '../../policies/rfc9111/vary.ts';
import { get, policy, refusal, stored } from '../rfc9111/given.ts';
import { fc } from '../support/properties.ts';

interface Sent {
  readonly key: string;
  /** Target and fields as the origin receives them. */
  readonly seen: string;
}

/** The request that the cache handler sends; null: the target is rejected. */
function send(target: string, fields: Fields = [], rules: RouteCacheConfig = policy()): Sent | null {
  const normal = normalizeTarget(target);
  if (normal === null) return null;
  const { key, query } = keyOf({
    origin: 'shop',
    seesHost: false,
    scheme: 'http',
    authority: '',
    ...normal,
    policy: rules,
    fields,
  });
  const forwarded = originFields({
    fields,
    version: '1.1',
    trusted: false,
    remoteAddress: '192.0.2.1',
    scheme: 'http',
    authority: 'shop.example',
    hostHeader: 'origin',
    keyed: rules.key.headers,
  });
  return { key, seen: JSON.stringify([normal.path, query, unkeyedRequestFields(forwarded, rules)]) };
}

const PLAIN = send('/p');

describe('cache poisoning by what is not in the key', () => {
  it.each([
    ['another host', ['Host', 'evil.example']],
    ['another host, forwarded', ['X-Forwarded-Host', 'evil.example']],
    ['another host, forwarded in the standard field', ['Forwarded', 'host=evil.example']],
    [
      'another host in framework-specific fields',
      ['X-Host', 'evil.example', 'X-Original-Host', 'evil.example'],
    ],
    ['another server', ['X-Forwarded-Server', 'evil.example']],
    [
      'another scheme',
      ['X-Forwarded-Proto', 'nothttps', 'X-Forwarded-Scheme', 'nothttps', 'X-Forwarded-SSL', 'off'],
    ],
    ['another port', ['X-Forwarded-Port', '1337']],
    ['another path prefix', ['X-Forwarded-Prefix', '/evil']],
    ['another URL', ['X-Original-URL', '/admin', 'X-Rewrite-URL', '/admin']],
    [
      'another method',
      ['X-HTTP-Method-Override', 'DELETE', 'X-HTTP-Method', 'PUT', 'X-Method-Override', 'POST'],
    ],
    ['another client', ['X-Forwarded-For', '127.0.0.1']],
    [
      'fat GET',
      [
        'Content-Length',
        '9',
        'Content-Type',
        'application/x-www-form-urlencoded',
        'Transfer-Encoding',
        'chunked',
      ],
    ],
    ['a range', ['Range', 'bytes=0-0', 'If-Range', '"x"']],
    [
      'conditions',
      ['If-None-Match', '*', 'If-Match', '"x"', 'If-Modified-Since', 'x', 'If-Unmodified-Since', 'x'],
    ],
    ['hop-by-hop fields', ['Connection', 'X-Evil, close', 'X-Evil', '1', 'TE', 'trailers', 'Upgrade', 'h2c']],
    ['an expectation', ['Expect', '100-continue']],
    ['a proxy for scripts (httpoxy)', ['Proxy', 'http://evil.example']],
    [
      "a server's path override",
      ['X-Envoy-Original-Path', '/evil', 'X-Matched-Path', '/evil', 'Script-Name', '/x'],
    ],
    ["a server's file override", ['X-Sendfile-Type', 'X-Accel-Redirect', 'X-Accel-Mapping', '/=/evil']],
    [
      "a framework's part selector",
      ['X-Middleware-Subrequest', 'middleware', 'X-Now-Route-Matches', '1=a', 'X-Invoke-Status', '404'],
    ],
    [
      'data for a framework to render',
      ['X-React-Router-Prerender-Data', 'X-React-Router-SPA-Mode', 'X-Astro-Path', 'X-Astro-Locals']
        .concat('X-Prerender-Revalidate', 'X-Sendfile', 'X-Nuxt-No-SSR', 'X-Nuxt-Error')
        .flatMap((name) => [name, 'evil']),
    ],
    ["a surrogate's composition request", ['Surrogate-Capability', 'x="ESI/1.0"']],
    [
      "another client in CDNs' fields",
      ['X-Real-IP', 'True-Client-IP', 'CF-Connecting-IP', 'X-Client-IP', 'X-Cluster-Client-IP']
        .concat('Fastly-Client-IP', 'X-Forwarded-User', 'X-Forward-For', 'Forwarded-For')
        .flatMap((name) => [name, '127.0.0.1']),
    ],
    [
      "another host in proxies' fields",
      ['X-Forwarded-Protocol', 'X-Url-Scheme', 'Front-End-Https', 'X-Forwarded-Proto-Version', 'X-Scheme']
        .concat('X-HTTP-Host-Override', 'X-Original-Proto', 'X-Forwarded')
        .flatMap((name) => [name, 'evil']),
    ],
  ])('fails with %s', (_, fields) => {
    expect(send('/p', fields)).toEqual(PLAIN);
    // Connection must name a field by its exact spelling.
    if (fields.includes('Connection')) return;
    for (const other of ['_', '.', '!', '~']) {
      const respelled = fields.map((text, i) => (i % 2 === 0 ? text.replaceAll('-', other) : text));
      expect(send('/p', respelled)!.seen).toBe(PLAIN!.seen);
    }
  });

  it.each(['X_Tenant', 'x.tenant', 'X!Tenant', 'X_tenant'])(
    'fails with another spelling of a field in the key or in Vary: %s',
    (name) => {
      const rules = policy({ key: { query: 'all', headers: ['x-tenant'], cookies: [] } });
      const spelled = [
        [],
        ['X-Tenant', 'a'],
        [name, 'a'],
        ['X-Tenant', 'a', name, 'b'],
        [name, 'b', 'X-Tenant', 'a'],
      ];
      const keys = spelled.map((fields) => send('/p', fields, rules)!.key);
      expect(new Set(keys).size).toBe(keys.length);
      const varied = spelled.map((fields) => secondaryKey(['x-tenant'], get(...fields), 4096));
      expect(new Set(varied).size).toBe(varied.length);
    },
  );

  it.each([
    ['an unkeyed parameter', '/p?id=1&evil=2', '/p?id=1'],
    ['cloaking by an encoded name', '/p?id=1&%65vil=2', '/p?id=1'],
    ['cloaking by a second separator', '/p?id=1&utm=x;id=2', '/p?id=1'],
    ['parameters in another order', '/p?b=2&id=1', '/p?id=1&b=2'],
  ])('fails with %s', (_, attack, plain) => {
    const rules = policy({ key: { query: { only: ['id', 'b'] }, headers: [], cookies: [] } });
    expect(send(attack, [], rules)).toEqual(send(plain, [], rules));
  });
});

describe('path confusion: two targets have one key only where the origin gets one target', () => {
  it.each([
    ['encoded slash', '/a%2Fb', '/a/b'],
    ['encoded backslash', '/a%5Cb', '/a/b'],
    ['encoded question mark', '/a%3Fb', '/a?b'],
    ['encoded fragment', '/a%23b', '/a'],
    ['encoded line feed', '/a%0Ab', '/a'],
    ['double encoding', '/a%252Fb', '/a%2Fb'],
    ['path parameter', '/a;x.css', '/a'],
    ['path suffix', '/account/x.css', '/account'],
    ['double slash', '//a', '/a'],
    ['trailing slash', '/a/', '/a'],
    ['case', '/A', '/a'],
    ['a parameter twice', '/a?x=1&x=2', '/a?x=1'],
    ['encoded dots before an encoded slash', '/static/..%2Fadmin', '/admin'],
  ])('%s: they stay apart', (_, one, other) => {
    expect(send(one)?.key).not.toBe(send(other)?.key);
    expect(send(one)?.seen).not.toBe(send(other)?.seen);
  });

  it.each([
    ['dot segments', '/static/../admin', '/admin'],
    ['encoded dots', '/static/%2e%2E/admin', '/admin'],
    ['encoded letters', '/%61dmin', '/admin'],
    ['case of an escape', '/a%2fb', '/a%2Fb'],
    ['a bare backslash', '/a\\b', '/a%5Cb'],
  ])('%s: they become one, for both the key and the origin', (_, one, other) => {
    expect(send(one)).toEqual(send(other));
  });

  it.each(['/a%00.css', '/a\0', '/a%', '/a#b', '/a b', 'a', 'http://evil.example/'])(
    '%j is rejected',
    (target) => {
      expect(send(target)).toBe(null);
    },
  );

  it('for any two targets and any rule', () => {
    const target = fc
      .array(fc.constantFrom('/', '.', '%2e', '%2F', 'a', 'b', '=', '&', '?', ';', '%61', '\\', '%3F'), {
        maxLength: 8,
      })
      .map((pieces) => `/${pieces.join('')}`);
    const rule = fc.constantFrom('all' as const, 'none' as const, { only: ['a'] }, { except: ['a'] });
    fc.assert(
      fc.property(target, target, rule, (one, other, query) => {
        const rules = policy({ key: { query, headers: [], cookies: [] } });
        const a = send(one, [], rules);
        const b = send(other, [], rules);
        return a === null || b === null || (a.key === b.key) === (a.seen === b.seen);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('cache deception and denial of service: a response for one client is not stored for all', () => {
  const PRIVATE = ['Cache-Control', 'private', 'Content-Type', 'text/css'];

  it('a private response at the URL of a style sheet is not stored', () => {
    expect(refusal(PRIVATE)).toBe('private');
    expect(refusal(['Content-Type', 'text/css'])).toBe('no-freshness');
  });

  it.each([400, 403, 413, 429, 431, 500, 502, 503])(
    'an error that a malformed request caused is not stored without a stated lifetime: %i',
    (status) => {
      expect(refusal(['Last-Modified', 'Thu, 01 Jan 2015 00:00:00 GMT'], { status })).not.toBe('stored');
    },
  );

  it.each([412, 416, 429, 431])('an error about one request alone is never stored: %i', (status) => {
    expect(refusal(['Cache-Control', 'max-age=600'], { status })).toBe('status');
  });

  it('a cookie is never given to another client', () => {
    expect(refusal(['Cache-Control', 'max-age=600', 'Set-Cookie', 'sid=1'])).toBe('set-cookie');
    const strip = policy({ setCookie: 'strip' });
    const { fields } = stored(['Cache-Control', 'max-age=600', 'Set-Cookie', 'a=b', 'SET-COOKIE2', 'c'], {
      policy: strip,
    });
    expect(withoutFields(fields, new Set(['set-cookie', 'set-cookie2']))).toEqual(fields);
  });

  it('a response to a request with credentials is not stored', () => {
    expect(refusal(['Cache-Control', 'max-age=600'], { request: get('Authorization', 'Bearer x') })).toBe(
      'authorization',
    );
  });
});

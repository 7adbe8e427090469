import { METHODS } from 'node:http';
import { describe, expect, it } from 'vitest';
import { invalidatedGroups, invalidatedTargets } from '../../policies/rfc9111/invalidation.ts';
import type { UnsafeExchange } from '../../policies/rfc9111/invalidation.ts';
import { tagOfGroup, tagOfName } from '../../policies/tags.ts';
import { stored } from './given.ts';

const post: UnsafeExchange = {
  method: 'POST',
  target: '/a/b?x=1',
  authority: 'shop.example',
  scheme: 'http',
  status: 200,
  fields: [],
};
const SAFE = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'REPORT', 'SEARCH', 'QUERY'];

describe('§4.4 invalidation', () => {
  it.each([...METHODS.filter((method) => !SAFE.includes(method)), 'FOO', 'post'])(
    '§4.4 invalidates the target of %s',
    (method) => {
      expect(invalidatedTargets({ ...post, method })).toEqual(['/a/b?x=1']);
    },
  );

  it.each(SAFE)('§4.4 invalidates nothing for %s', (method) => {
    const fields = ['Location', '/c', 'Cache-Group-Invalidation', '"g"'];
    expect(invalidatedTargets({ ...post, method, fields })).toEqual([]);
    expect(invalidatedGroups({ ...post, method, fields })).toEqual([]);
  });

  it.each([200, 201, 204, 299, 301, 302, 303, 304, 307, 399])('§4.4 invalidates after %i', (status) => {
    expect(invalidatedTargets({ ...post, status })).toHaveLength(1);
  });

  it.each([400, 404, 409, 500, 502, 599, 100])('§4.4 does not invalidate after %i', (status) => {
    expect(invalidatedTargets({ ...post, status, fields: ['Location', '/c'] })).toEqual([]);
  });

  it.each([
    ['/c', '/c'],
    ['c?y', '/a/c?y'],
    ['../d', '/d'],
    ['?z=2', '/a/b?z=2'],
    ['//shop.example/e', '/e'],
    ['http://shop.example/f', '/f'],
    ['http://SHOP.example:80/f', '/f'],
    ['http://shop.example/%7Eg#top', '/~g'],
    ['/caf\u00c3\u00a9', '/caf%C3%A9'],
    ['/voil\u00c3\u00a0', '/voil%C3%A0'],
  ])('§4.4 invalidates the URIs in Location and Content-Location: %s', (reference, target) => {
    expect(invalidatedTargets({ ...post, fields: ['Location', reference] })).toEqual(['/a/b?x=1', target]);
    expect(invalidatedTargets({ ...post, fields: ['content-location', reference] })).toContain(target);
  });

  it.each([
    'http://other.example/c',
    'https://shop.example/c',
    'http://shop.example:81/c',
    '//other.example/c',
    'javascript:alert(1)',
    'http://',
    'http://[/c',
  ])('§4.4 does not invalidate URIs of another origin: %s', (reference) => {
    expect(invalidatedTargets({ ...post, fields: ['Location', reference] })).toEqual(['/a/b?x=1']);
  });

  it('§4.4 also recognises the origin by its own URL', () => {
    const fields = ['Location', 'http://10.0.0.1:9000/c'];
    expect(invalidatedTargets({ ...post, aliases: ['http://10.0.0.1:9000'], fields })).toContain('/c');
  });

  it('§4.4 names targets in the form of the key, each once', () => {
    expect(invalidatedTargets({ ...post, target: '/a/./%62?x=1', fields: ['Location', '/a/b?x=1'] })).toEqual(
      ['/a/b?x=1'],
    );
  });
});

describe('RFC 9875 groups', () => {
  it("RFC 9875 §2 become tags: one of the response's site, and one for operators", () => {
    const meta = stored([
      'Cache-Control',
      'max-age=9',
      'Cache-Groups',
      '"a", "B c";p=1',
      'cache-groups',
      '"a"',
    ]);
    expect(meta.responseTags).toEqual(
      ['a', 'B c'].flatMap((group) => [tagOfGroup('shop.example', group), tagOfName(group)]),
    );
  });

  it.each(['a', '1', '"a', '("a" "b")', '"a",'])('RFC 9875 §2 ignore the malformed %s', (value) => {
    expect(stored(['Cache-Control', 'max-age=9', 'Cache-Groups', value]).responseTags).toEqual([]);
  });

  it('RFC 9875 §3 are invalidated if the response to an unsafe request names them', () => {
    expect(invalidatedGroups({ ...post, fields: ['Cache-Group-Invalidation', '"a", "b"'] })).toEqual([
      tagOfGroup('shop.example', 'a'),
      tagOfGroup('shop.example', 'b'),
    ]);
  });

  it('RFC 9875 §2 can be 32 of 32 characters', () => {
    const groups = Array.from({ length: 32 }, (_, i) => `"${String(i).padStart(32, 'x')}"`).join(', ');
    expect(stored(['Cache-Control', 'max-age=9', 'Cache-Groups', groups]).responseTags).toHaveLength(64);
  });

  it('are read as the tags of Surrogate-Key, xkey and Cache-Tag, each with its own separators', () => {
    const fields = [
      'Surrogate-Key',
      'a  b,c',
      'xkey',
      'd, e f',
      'Cache-Tag',
      'g h , i',
      'Cache-Control',
      'max-age=9',
    ];
    expect(stored(fields).responseTags).toEqual(
      ['a', 'b,c', 'd', 'e', 'f', 'g h', 'i'].map((name) => `tag:${name}`),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { keyedQuery } from '../../policies/key.ts';
import { parseUrlPlace, urlTags } from '../../policies/url-place.ts';
import { entryTags, tagOfUrl } from '../../policies/tags.ts';

describe('a URL of an operator, a feed or an origin', () => {
  it.each([
    ['/a/./%62?x=1', null, '/a/b', 'x=1'],
    ['//evil.example/p', null, '//evil.example/p', ''],
    ['http://Shop.Example/a', 'shop.example', '/a', ''],
    ['HTTP://shop.example:80', 'shop.example', '/', ''],
    ['https://shop.example:443/a?b#c', 'shop.example', '/a', 'b'],
    ['https://shop.example:80/a', 'shop.example:80', '/a', ''],
    ['http://[::1]:8080/?q', '[::1]:8080', '/', 'q'],
    ['http://B\u00fccher.example./a', 'xn--bcher-kva.example', '/a', ''],
    ['/caf\u00e9/\u65e5?n=\u00fc', null, '/caf%C3%A9/%E6%97%A5', 'n=%C3%BC'],
  ])('is read: %s', (text, authority, path, query) => {
    expect(parseUrlPlace(text)).toEqual({ authority, path, query });
  });

  it.each(['', 'a', 'ftp://h/a', 'http://', 'http://u:p@h/a', '/a%zz', '/a b', 'javascript:x'])(
    'is rejected: %j',
    (text) => {
      expect(parseUrlPlace(text)).toBe(null);
    },
  );

  it('has tags under every route\u2019s rule for queries', () => {
    const rules = ['all', 'none', { only: ['a'] }, { except: ['a'] }] as const;
    const place = { authority: null, path: '/p', query: 'b=2&a=1' };
    const tags = urlTags(place, rules);
    expect(tags).toEqual(['b=2&a=1', '', 'a=1', 'b=2'].map((query) => tagOfUrl(null, '/p', query)));
    for (const rule of rules) {
      const query = keyedQuery('b=2&a=1', rule);
      const entry = { authority: 'h', path: '/p', query, route: 'r', origin: 'o', feed: null, extra: [] };
      expect(entryTags(entry).some((tag) => tags.includes(tag))).toBe(true);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { parseUrlPlace } from '../../policies/url-place.ts';
import {
  ALL_TAG,
  entryTags,
  PREFIX_SEGMENTS,
  tagOfFeed,
  tagOfGroup,
  tagOfHost,
  tagOfName,
  tagOfOrigin,
  tagOfPrefix,
  tagOfRoute,
  tagOfUrl,
} from '../../policies/tags.ts';
import { encodeForUrl } from '../../policies/templates.ts';

const of = (path: string, query = '', authority = 'shop.example:8080') =>
  new Set(
    entryTags({
      authority,
      path,
      query,
      route: 'r',
      origin: 'o',
      feed: 'f',
      extra: [tagOfName('x'), tagOfName('x')],
    }),
  );

const deep = (segments: number) => `/${Array.from({ length: segments }, (_, i) => `s${i}`).join('/')}`;

describe('tags of an entry', () => {
  it('include the tags by which purges reach it', () => {
    const tags = of('/a/b', 'x=1');
    for (const tag of [
      ALL_TAG,
      tagOfRoute('r'),
      tagOfOrigin('o'),
      tagOfFeed('f'),
      tagOfName('x'),
      tagOfHost('shop.example:8080'),
      tagOfHost('Shop.Example'),
      tagOfUrl(null, '/a/b', 'x=1'),
      tagOfUrl('shop.example:8080', '/a/b', 'x=1'),
      tagOfPrefix(null, '/'),
      tagOfPrefix(null, '/a'),
      tagOfPrefix(null, '/a/'),
      tagOfPrefix('shop.example:8080', '/a/b'),
    ]) {
      expect(tags, tag).toContain(tag);
    }
    expect(tags.size).toBe(15);
  });

  it('exclude those of another URL, host or prefix', () => {
    const tags = of('/a/b', 'x=1');
    for (const tag of [
      tagOfUrl(null, '/a/b', ''),
      tagOfUrl(null, '/a/b', 'x=2'),
      tagOfUrl('other.example', '/a/b', 'x=1'),
      tagOfPrefix(null, '/a/b/c'),
      tagOfPrefix(null, '/a/bc'),
      tagOfPrefix(null, '/b'),
      tagOfPrefix('other.example', '/a'),
      tagOfHost('shop.example:81'),
      tagOfHost('other.example'),
      tagOfRoute('x'),
      tagOfName('r'),
      tagOfGroup('shop.example', 'x'),
    ]) {
      expect(tags, tag).not.toContain(tag);
    }
  });

  it.each(['a:b', 'x@y', 'a/b', 'a?b', 'AT&T', 'a+b', 'a b', "it's", 'ü', '1;2', 'a=b'])(
    'reach a URL however %s is encoded in it',
    (value) => {
      const named = parseUrlPlace(encodeForUrl(`/p/${value}`))!;
      expect(of(`/p/${encodeURIComponent(value)}`)).toContain(tagOfUrl(null, named.path, named.query));
      if (named.query === '')
        expect(of(`/p/${encodeURIComponent(value)}/x`)).toContain(tagOfPrefix(null, named.path));
      const searched = parseUrlPlace(encodeForUrl(`/s?q=${value}`))!;
      for (const query of [
        encodeURIComponent(value),
        new URLSearchParams({ '': value }).toString().slice(1),
      ]) {
        expect(of('/s', `q=${query}`)).toContain(tagOfUrl(null, searched.path, searched.query));
      }
    },
  );

  it('also reach, by a prefix, paths that continue with bytes that are not UTF-8', () => {
    const named = parseUrlPlace(encodeForUrl('/caf\u00e9'))!;
    expect(of('/caf%C3%A9/%FF')).toContain(tagOfPrefix(null, named.path));
    expect(of('/caf%C3%A9/x', 'q=%FF')).toContain(tagOfPrefix(null, named.path));
  });

  it('distinguish URLs that differ in more than their encoding', () => {
    expect(of('/50%25')).not.toContain(tagOfUrl(null, '/50', ''));
    expect(of('/%2541')).not.toContain(tagOfUrl(null, '/A', ''));
    expect(of('/a%ff')).not.toContain(tagOfUrl(null, '/a%fe', ''));
    expect(of('/a+b')).not.toContain(tagOfUrl(null, '/a%20b', ''));
  });

  it('of different kinds never collide', () => {
    const meeting = [
      tagOfUrl(null, '//evil.example/p', ''),
      tagOfUrl('evil.example', '/p', ''),
      tagOfPrefix(null, '//evil.example/p'),
      tagOfPrefix('evil.example', '/p'),
      tagOfName('url:/p'),
      tagOfUrl(null, '/p', ''),
      tagOfName('all'),
      ALL_TAG,
      tagOfRoute('all'),
    ];
    expect(new Set(meeting).size).toBe(meeting.length);
  });

  it('reach every entry below a prefix by whole segments, with and without a final slash', () => {
    for (const path of ['/a', '/a/', '/a/b', '/a//b', '/a/b/c/'])
      expect(of(path)).toContain(tagOfPrefix(null, '/a'));
    for (const path of ['/', '/ab', '/b/a']) expect(of(path)).not.toContain(tagOfPrefix(null, '/a'));
    expect(of('/')).toContain(tagOfPrefix(null, '/'));
  });

  it('include a limited number of prefixes, so that a longer prefix reaches more than it names', () => {
    const tags = of(deep(100));
    expect([...tags].filter((tag) => tag.startsWith('prefix:')).length).toBe(PREFIX_SEGMENTS + 1);
    expect(tags).toContain(tagOfPrefix(null, deep(PREFIX_SEGMENTS)));
    expect(tags).toContain(tagOfPrefix(null, deep(60)));
    expect(tagOfPrefix(null, deep(60))).toBe(tagOfPrefix(null, deep(PREFIX_SEGMENTS)));
  });

  it('include an IPv6 host with and without its port', () => {
    expect(of('/', '', '[::1]:80')).toContain(tagOfHost('[::1]'));
    expect(of('/', '', '[::1]')).toContain(tagOfHost('[::1]'));
  });
});

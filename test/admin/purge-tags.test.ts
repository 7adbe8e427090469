import { describe, expect, it } from 'vitest';
import type { PurgeSelection } from '../../proxy/admin/purge-tags.ts';
import { purgeTags } from '../../proxy/admin/purge-tags.ts';
import { configOf } from '../config/load.ts';

const { routes } = configOf(`
origins: { shop: { url: 'http://127.0.0.1:1' } }
routes:
  - { name: posted, match: { path: /products, methods: [POST] }, cache: { key: { query: none } } }
  - { name: other-host, match: { path: /products, host: b.example }, cache: { key: { query: { except: [page] } } } }
  - { name: list, match: /products, cache: { key: { query: { only: [page] } } } }
  - { name: rest, match: /about/*, cache: { key: { query: none } } }
`);

const NOTHING: PurgeSelection = { urls: [], tags: [], prefixes: [], hosts: [], routes: [], all: false };

function tagsOf(selection: Partial<PurgeSelection>) {
  const found = purgeTags({ ...NOTHING, ...selection }, routes);
  return found.kind === 'tags' ? found.tags : found.problems;
}

describe('what a purge names', () => {
  it('a path is that URL on every host, also as routes that take it key its query', () => {
    expect(tagsOf({ urls: ['/products?utm=x&page=2'] })).toEqual([
      'url:/products?utm=x&page=2',
      'url:/products?utm=x',
      'url:/products?page=2',
    ]);
  });

  it('a route for another host, path or method has no say in an absolute URL', () => {
    expect(tagsOf({ urls: ['http://a.example/products?utm=x&page=2'] })).toEqual([
      'url@a.example/products?utm=x&page=2',
      'url@a.example/products?page=2',
    ]);
    expect(tagsOf({ urls: ['/none?x=1'] })).toEqual(['url:/none?x=1']);
  });

  it('paths are normalised as those of requests are', () => {
    expect(tagsOf({ urls: ['/a/../about/%7ejane'] })).toEqual(['url:/about/~jane']);
    expect(tagsOf({ prefixes: ['/a/./b'] })).toEqual(['prefix:/a/b']);
  });

  it('tags, prefixes, hosts, routes and everything have tags of their own', () => {
    const selection = {
      tags: ['product:1'],
      prefixes: ['/search', 'https://A.example/search'],
      hosts: ['A.example', '[::1]:8080'],
      routes: ['list'],
      all: true,
    };
    expect(tagsOf(selection)).toEqual([
      'tag:product:1',
      'prefix:/search',
      'prefix@a.example/search',
      'host:a.example',
      'host:[::1]:8080',
      'route:list',
      'all',
    ]);
  });

  it('one thing named twice is purged once', () => {
    expect(tagsOf({ tags: ['a', 'a'] })).toEqual(['tag:a']);
  });

  it('says what can name no entry, all of it at once', () => {
    const selection = {
      urls: ['products/1'],
      tags: [''],
      prefixes: ['/a?b', '/a/*'],
      hosts: ['http://a'],
      routes: ['lst'],
    };
    expect(tagsOf(selection)).toEqual([
      'urls[0]: expected a path that begins with / or an absolute http(s) URL, got "products/1"',
      'tags[0]: expected a tag, got ""',
      'prefixes[0]: expected a path without a query, got "/a?b"',
      'prefixes[1]: expected whole segments without the final /*, got "/a/*"',
      'hosts[0]: expected a host, with or without a port, got "http://a"',
      'routes[0]: expected one of posted, other-host, list, rest, got "lst"',
    ]);
  });

  it('refuses to purge nothing', () => {
    expect(tagsOf({})).toEqual([
      'expected at least one of urls, tags, prefixes, hosts, routes or all, got nothing to purge',
    ]);
  });
});

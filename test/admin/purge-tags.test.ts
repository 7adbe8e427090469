import { describe, expect, it } from 'vitest';
import type { PurgeSelection } from '../../proxy/admin/purge-tags.ts';
import { purgeTags } from '../../proxy/admin/purge-tags.ts';
import { configOf } from '../config/load.ts';

const ROUTES = `
routes:
  - { name: list, match: /products, cache: { key: { query: { only: [page] } } } }
  - { name: rest, match: /about/*, cache: { key: { query: none } } }
`;

const SHARED = configOf(`origins: { shop: { url: 'http://127.0.0.1:1' } }${ROUTES}`);
const BY_HOST = configOf(`origins: { shop: { url: 'http://127.0.0.1:1', host-header: client } }${ROUTES}`);

const NOTHING: PurgeSelection = { urls: [], tags: [], prefixes: [], hosts: [], routes: [], all: false };

function tagsOf(selection: Partial<PurgeSelection>, config = BY_HOST) {
  const found = purgeTags({ ...NOTHING, ...selection }, config);
  return found.kind === 'tags' ? found.tags : found.problems;
}

describe('purging', () => {
  it('a path purges that URL on every host, also in the forms that routes key its query', () => {
    expect(tagsOf({ urls: ['/products?utm=x&page=2'] })).toEqual([
      'url:/products?utm=x&page=2',
      'url:/products?page=2',
      'url:/products',
    ]);
  });

  it('a path is normalised as those of requests are', () => {
    expect(tagsOf({ urls: ['/a/../about/%7ejane'] })).toEqual(['url:/about/~jane']);
    expect(tagsOf({ prefixes: ['/a/./b'] })).toEqual(['prefix:/a/b']);
  });

  it('tags, prefixes, hosts, routes and everything are purged by tags of their own', () => {
    const selection = {
      urls: ['https://A.example/a'],
      tags: ['product:1'],
      prefixes: ['/search', 'https://A.example/search'],
      hosts: ['A.example', '[::1]:8080'],
      routes: ['list'],
      all: true,
    };
    expect(tagsOf(selection)).toEqual([
      'url@a.example/a',
      'tag:product:1',
      'prefix:/search',
      'prefix@a.example/search',
      'host:a.example',
      'host:[::1]:8080',
      'route:list',
      'all',
    ]);
  });

  it('a host includes others that share entries with it, where the origin does not distinguish them', () => {
    const selection = {
      urls: ['https://a.example/a'],
      prefixes: ['https://a.example/b'],
      hosts: ['a.example'],
    };
    expect(tagsOf(selection, SHARED)).toEqual(['url:/a', 'prefix:/b', 'host:a.example', 'origin:shop']);
  });

  it('one thing named twice is purged once', () => {
    expect(tagsOf({ tags: ['a', 'a'] })).toEqual(['tag:a']);
  });

  it('names that no entry can have are all reported at once', () => {
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
      'routes[0]: expected one of list, rest, got "lst"',
    ]);
  });

  it('wildcards are rejected, because they would match no entry', () => {
    const selection = {
      urls: ['/a/*', '/a*', '/*.jpg', '/a/*/b', 'https://a.example/*'],
      prefixes: ['/a*', '/*/b'],
      hosts: ['*.a', '*', 'a.*:8080'],
    };
    const url = 'one URL without wildcards (prefixes purges everything below a path)';
    const prefix = 'whole segments without wildcards';
    const host = 'one host without wildcards';
    expect(tagsOf(selection)).toEqual([
      `urls[0]: expected ${url}, got "/a/*"`,
      `urls[1]: expected ${url}, got "/a*"`,
      `urls[2]: expected ${url}, got "/*.jpg"`,
      `urls[3]: expected ${url}, got "/a/*/b"`,
      `urls[4]: expected ${url}, got "https://a.example/*"`,
      `prefixes[0]: expected ${prefix}, got "/a*"`,
      `prefixes[1]: expected ${prefix}, got "/*/b"`,
      `hosts[0]: expected ${host}, got "*.a"`,
      `hosts[1]: expected ${host}, got "*"`,
      `hosts[2]: expected ${host}, got "a.*:8080"`,
    ]);
  });

  it('a * is accepted where it is an ordinary character of a segment or of a query', () => {
    expect(tagsOf({ urls: ['/2*3', '/products?page=*'] })).toEqual([
      'url:/2*3',
      'url:/products?page=*',
      'url:/products',
    ]);
  });

  it('a request that names nothing is rejected', () => {
    expect(tagsOf({})).toEqual([
      'expected at least one of urls, tags, prefixes, hosts, routes or all, got nothing to purge',
    ]);
  });
});

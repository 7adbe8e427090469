import { describe, expect, it } from 'vitest';
import { load } from './load.ts';

const BASE = 'origins: { shop: { url: "http://127.0.0.1:1" } }\n';

function warningsOf(routes: string, map = '', more = ''): string[] {
  const feeds = `feeds: { f: { type: sse, url: "http://127.0.0.1:1/c", map: [${map}] } }\n`;
  const loaded = load(
    `${BASE}${feeds}${more}routes: [${routes}, { match: "/*", cache: { freshness: none } }]\n`,
  );
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.errors));
  return loaded.warnings.map(({ path, message }) => `${path}: ${message}`);
}

const UNTIL = 'cache: { freshness: until-changed, feed: f, tags: ["product:{id}"] }';

describe('a route and the maps of feeds', () => {
  it.each([
    ['a tag', 'invalidate: { tags: ["product:{sku}"] }'],
    ['a tag that is one name', 'invalidate: { tags: ["{tag}"] }'],
    ['a URL', 'invalidate: { urls: ["/products/{id}"] }'],
    ['an absolute URL with a query', 'invalidate: { urls: ["https://a.example/products/{id}?full"] }'],
    ['a prefix', 'invalidate: { prefixes: [/products] }'],
    ['the prefix / of everything', 'invalidate: { prefixes: [/] }'],
  ])('match by %s', (_, entry) => {
    expect(warningsOf(`{ match: "/products/{id}", ${UNTIL} }`, `{ ${entry} }`)).toEqual([]);
  });

  it.each([
    ['another tag', 'invalidate: { tags: ["products:{id}"] }'],
    ['another URL', 'invalidate: { urls: ["/product/{id}"] }'],
    ['another prefix', 'invalidate: { prefixes: [/search] }'],
  ])('do not match by %s, and both are warned about', (_, entry) => {
    expect(warningsOf(`{ name: product, match: "/products/{id}", ${UNTIL} }`, `{ ${entry} }`)).toEqual([
      expect.stringMatching(/^feeds\.f\.map\[0\]\.invalidate: expected a tag or URL of a route/),
      expect.stringMatching(/^routes\[0\]\.cache\.freshness: expected a map that reaches this route/),
    ]);
  });

  it('are not compared where no feed has a map and the route only has tags for purges', () => {
    expect(warningsOf('{ match: "/a", cache: { tags: [a] } }')).toEqual([]);
  });

  it('are warned about where nothing reaches a route with tags, unless a write names it', () => {
    const map = '{ invalidate: { tags: [b] } }';
    const b = '{ match: "/b", cache: { tags: [b] } }';
    expect(warningsOf(`{ match: "/a", cache: { tags: [a] } }, ${b}`, map)).toEqual([
      expect.stringContaining('routes[0].cache.tags: expected a map or a write that reaches this route'),
    ]);
    const write = '{ match: "/w", write: { invalidate: { tags: [a] } } }';
    expect(warningsOf(`{ match: "/a", cache: { tags: [a] } }, ${b}, ${write}`, map)).toEqual([]);
  });
});

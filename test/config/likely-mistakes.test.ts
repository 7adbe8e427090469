import { describe, expect, it } from 'vitest';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { isInstalled, missingPackages } from '../../proxy/feeds/packages.ts';
import { load } from './load.ts';

const ORIGIN = 'origins: { shop: { url: "http://127.0.0.1:1" } }\n';

function warningsOf(text: string, missing: typeof missingPackages = () => []): string[] {
  const loaded = load(`${ORIGIN}${text}`, { feedTypes: FEED_TYPES, missingPackages: missing });
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.errors));
  return loaded.warnings.map(({ path, message }) => `${path}: ${message}`);
}

const REST = '{ match: "/*", cache: { freshness: none } }';

describe('a segment like :id', () => {
  const message = 'expected {id} where a parameter is meant, got :id, which fits that text alone';

  it.each([
    ['a route', `routes: [{ match: "/users/:id" }, ${REST}]`, 'routes[0].match'],
    [
      'a route with more conditions',
      `routes: [{ match: { path: "/users/:id/*" } }, ${REST}]`,
      'routes[0].match.path',
    ],
    [
      'what a write invalidates',
      `routes: [{ match: "/users/{x}", write: { invalidate: { urls: ["/users/:id"] } } }, ${REST}]`,
      'routes[0].write.invalidate.urls[0]',
    ],
  ])('causes a warning in %s', (_, text, path) => {
    expect(warningsOf(text)).toContain(`${path}: ${message}`);
  });

  it('causes a warning in the map of a feed', () => {
    const feed = `feeds: { f: { type: sse, url: "http://127.0.0.1:1/c", map: [{ invalidate: { prefixes: ["/a/:id"] } }] } }`;
    expect(warningsOf(`${feed}\nroutes: [${REST}]`)).toContain(
      `feeds.f.map[0].invalidate.prefixes[0]: ${message}`,
    );
  });

  it('causes one warning for each segment', () => {
    expect(warningsOf(`routes: [{ match: "/:shop/_:x/:id" }, ${REST}]`)).toEqual([
      expect.stringContaining('got :shop,'),
      expect.stringContaining('got :id,'),
    ]);
  });

  it.each(['/a:b', '/at/12:30', '/x/:', '/x/:30', '/{id}'])('is not found in %s', (path) => {
    expect(warningsOf(`routes: [{ match: "${path}" }, ${REST}]`)).toEqual([]);
  });
});

describe('a wildcard in an invalidation', () => {
  const ofWrite = (invalidate: string): string[] =>
    warningsOf(`routes: [{ match: "/users/{x}", write: { invalidate: ${invalidate} } }, ${REST}]`);

  it.each([
    ['urls', '/a/*'],
    ['urls', '/a/*.html?x=1'],
    ['urls', '/{x}/*'],
    ['prefixes', '/a/*/b'],
    ['prefixes', '/a/b*'],
  ])('causes a warning in %s: %s', (kind, text) => {
    expect(ofWrite(`{ ${kind}: ["${text}"] }`)).toEqual([
      expect.stringMatching(/^routes\[0\]\.write\.invalidate\.(?:urls|prefixes)\[0\]: expected .* got /),
    ]);
  });

  it('causes a warning in the map of a feed', () => {
    const feed = `feeds: { f: { type: sse, url: "http://127.0.0.1:1/c", map: [{ invalidate: { urls: ["/a/*"] } }] } }`;
    expect(warningsOf(`${feed}\nroutes: [${REST}]`)).toContainEqual(
      expect.stringContaining('feeds.f.map[0].invalidate.urls[0]: expected one URL without wildcards'),
    );
  });

  it.each(['{ urls: ["/a/2*3"] }', '{ urls: ["/a?x=*"] }', '{ prefixes: ["/a/*", "/{x}"] }'])(
    'is not found in %s',
    (invalidate) => {
      expect(ofWrite(invalidate)).toEqual([]);
    },
  );
});

describe("a webhook's secret", () => {
  const of = (secret: string): string[] =>
    warningsOf(`feeds: { hook: { type: webhook, path: /hook, secret: ${secret} } }\nroutes: [${REST}]`);

  it.each([
    ['fifteen bytes', 'fifteen-bytes-x', 'feeds.hook.secret', 15],
    [
      'fifteen bytes in base64',
      `whsec_${Buffer.from('fifteen-bytes-x').toString('base64')}`,
      'feeds.hook.secret',
      15,
    ],
    ['one of several', '[sixteen-bytes-xy, short]', 'feeds.hook.secret[1]', 5],
  ])('causes a warning where it is short: %s', (_, secret, path, bytes) => {
    expect(of(secret)).toEqual([
      `${path}: expected a secret of at least 16 bytes, that nobody guesses, got one of ${bytes}`,
    ]);
  });

  it.each(['sixteen-bytes-xy', 'üüüüüüüü', `whsec_${Buffer.from('sixteen-bytes-xy').toString('base64')}`])(
    'is long enough with sixteen bytes: %s',
    (secret) => {
      expect(of(secret)).toEqual([]);
    },
  );
});

describe('a size of a cache tier', () => {
  it.each([
    ['{ memory: 10B }', 'cache.memory', 10],
    ['{ memory: 1023KiB }', 'cache.memory', 1_047_552],
    ['{ disk: { size: 64KiB } }', 'cache.disk.size', 65_536],
  ])('causes a warning below 1 MiB: %s', (cache, path, bytes) => {
    expect(warningsOf(`cache: ${cache}`)).toEqual([
      `${path}: expected 1MiB or more, or 0 to switch the tier off, got ${bytes} bytes`,
    ]);
  });

  it.each(['{ memory: 0, disk: { size: 0 } }', '{ memory: 1MiB, disk: { size: 1MiB } }'])(
    'is accepted otherwise: %s',
    (cache) => {
      expect(warningsOf(`cache: ${cache}`)).toEqual([]);
    },
  );
});

describe('the packages of a feed', () => {
  const FEED = 'feeds: { f: { type: nats, stream: s, servers: ["nats://127.0.0.1:1"] } }\n';

  it('cause a warning where they are not installed', () => {
    const asked: string[] = [];
    const missing = (type: string): string[] => {
      asked.push(type);
      return ['@nats-io/transport-node', '@nats-io/jetstream'];
    };
    expect(warningsOf(`${FEED}routes: [${REST}]`, missing)).toEqual([
      'feeds.f.type: expected what a nats feed needs (npm i @nats-io/transport-node @nats-io/jetstream), ' +
        'got no @nats-io/transport-node @nats-io/jetstream',
    ]);
    expect(asked).toEqual(['nats']);
  });

  it('are found where they are installed, also if they are ES modules only', () => {
    for (const type of Object.keys(FEED_TYPES)) expect(missingPackages(type)).toEqual([]);
    expect(isInstalled('hono')).toBe(true);
    expect(isInstalled('no-such-package-of-weir')).toBe(false);
  });
});

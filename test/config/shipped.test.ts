import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../policies/config/config.ts';
import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import { loadConfig } from '../../policies/config/load.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { configOf } from './load.ts';

const ROOT = join(import.meta.dirname, '../..');

function shipped(env: Record<string, string>): Config {
  const text = readFileSync(join(ROOT, 'proxy.config.yaml'), 'utf8');
  const source = { text, file: 'proxy.config.yaml', directory: ROOT, env };
  const loaded = loadConfig({ ...source, feedTypes: FEED_TYPES });
  if (loaded.kind === 'invalid') throw new Error(loaded.errors.map(formatDiagnostic).join('\n'));
  expect(loaded.warnings).toEqual([]);
  return loaded.config;
}

function names({ routes }: Config): string[] {
  return routes.map(({ name }) => name);
}

describe('the shipped configuration', () => {
  it('runs the demo shop with its routes and its feed', () => {
    const config = shipped({});
    expect(names(config)).toEqual(['product', 'products', 'search', 'images', 'everything']);
    expect(Object.keys(config.feeds)).toEqual(['shop-changes']);
    expect(config.routes[0]).toMatchObject({
      cache: { freshness: 'until-changed', staleIfErrorMs: 600_000 },
    });
  });

  it('has one route by RFC 9111 in front of the origin in WEIR_ORIGIN', () => {
    const config = shipped({ WEIR_ORIGIN: 'http://127.0.0.1:3000' });
    const bare = configOf('origins: { shop: { url: "http://127.0.0.1:3000" } }');
    expect(config.feeds).toEqual({});
    expect(config.routes).toEqual([{ ...bare.routes[0], name: 'everything' }]);
  });
});

describe('the part for the demo shop alone', () => {
  const DEMO = `
origins: { shop: { url: "demo:" }, app: { url: "http://127.0.0.1:1" } }
routes:
  - { name: a, match: /a, origin: shop, demo: true }
  - { name: b, match: /b, origin: app, demo: true }
  - { name: c, match: /*, origin: app }
`;

  it('is omitted route by route, by the origin of each', () => {
    expect(names(configOf(DEMO))).toEqual(['a', 'c']);
  });

  it('is replaced by the default route where nothing else remains', () => {
    const only =
      'origins: { app: { url: "http://127.0.0.1:1" } }\nroutes: [{ name: a, match: /a, demo: true }]\n';
    expect(names(configOf(only))).toEqual(['default']);
  });
});

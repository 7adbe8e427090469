import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import { jsonSchema } from '../../policies/config/json-schema.ts';
import { loadConfig, type LoadedConfig } from '../../policies/config/load.ts';
import { configurationDocument } from './configuration-keys.ts';

const ROOT = join(import.meta.dirname, '../..');

function blocksOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
}

const shown = ['README.md', 'docs/configuration.md'].flatMap((file) =>
  blocksOf(file).map((text, i) => [file, i + 1, text] as const),
);

function load(text: string): LoadedConfig {
  const source = { text, file: 'README.md', directory: ROOT, env: {} };
  return loadConfig({ ...source, feedTypes: FEED_TYPES });
}

/** The names of all keys below a schema. */
function keyNames(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const own = 'properties' in schema ? Object.keys(schema.properties as object) : [];
  return [...own, ...Object.values(schema).flatMap(keyNames)];
}

describe('the documented configurations', () => {
  it.each(shown)('in %s, number %i, are valid', (_file, _i, text) => {
    const loaded = load(text);
    expect(loaded.kind === 'ok' ? [] : loaded.errors.map(formatDiagnostic)).toEqual([]);
  });

  it('show the defaults: the configuration is the same without their values', () => {
    const [reference] = blocksOf('docs/configuration.md');
    const whole = load(reference!);
    const bare = load(
      [
        'origins: { shop: { url: http://127.0.0.1:3000 } }',
        'feeds:',
        '  shop-changes:',
        '    type: sse',
        '    url: http://127.0.0.1:3000/changes',
        '    map:',
        '      - when: { table: products }',
        "        invalidate: { tags: ['product:{id}', products], urls: ['/products/{id}'], prefixes: [/search] }",
        'routes: [{ name: product, match: "/products/{id}" }]',
      ].join('\n'),
    );
    expect(whole.kind).toBe('ok');
    expect(bare.kind).toBe('ok');
    if (whole.kind === 'ok' && bare.kind === 'ok') expect(whole.config).toEqual(bare.config);
  });
});

describe('the tables of keys', () => {
  it('match the schema (written by `npm run docs`)', async () => {
    const { found, wanted } = await configurationDocument();
    expect(found).toBe(wanted);
  });

  it('have every key of the schema', async () => {
    const { found } = await configurationDocument();
    const places = [...found.matchAll(/^(?:\| `([^`]+)`|### (\S+))/gm)];
    const listed = new Set(places.flatMap(([, key, section]) => (key ?? section!).split(/\.|\[\]/)));
    const missing = keyNames(jsonSchema(FEED_TYPES)).filter((key) => !listed.has(key));
    expect([...new Set(missing)]).toEqual([]);
  });
});

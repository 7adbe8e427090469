import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { jsonSchema, jsonSchemaText } from '../../policies/config/json-schema.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { CONTRACT } from './contract.ts';
import { feedTypes, load } from './load.ts';

type Schema = { readonly [key: string]: Schema };

/** Every schema under `properties`, with its path. */
function properties(schema: Schema, path = ''): [string, Schema][] {
  const own = Object.entries(schema['properties'] ?? {}).map(([key, inner]): [string, Schema] => [
    `${path}/${key}`,
    inner,
  ]);
  const inner = own.flatMap(([innerPath, innerSchema]) => properties(innerSchema, innerPath));
  const nested = ['items', 'additionalProperties', 'anyOf'].flatMap((key) =>
    [schema[key] ?? []].flat().flatMap((inner) => properties(inner as Schema, path)),
  );
  return [...own, ...inner, ...nested];
}

const schema = jsonSchema(feedTypes) as Schema;

describe('the JSON Schema', () => {
  it('describes each key', () => {
    const own = properties(schema).filter(([path]) => !path.startsWith('/feeds/'));
    expect(own.length).toBeGreaterThan(90);
    expect(own.filter(([, inner]) => inner['description'] === undefined).map(([path]) => path)).toEqual([]);
  });

  it('gives defaults as they are written', () => {
    const byPath = new Map(properties(schema));
    expect(byPath.get('/listen/limits/request')).toMatchObject({ default: '60s' });
    expect(byPath.get('/cache/memory')).toMatchObject({ default: '256MiB' });
    expect(byPath.get('/listen/workers')).toMatchObject({ default: 'auto' });
  });

  it('accepts an environment variable where a number is expected', () => {
    expect(new Map(properties(schema)).get('/listen/port')).toEqual({
      description: '0: any free port, printed at the start.',
      default: 8080,
      anyOf: [{ type: 'integer', minimum: 0, maximum: 65_535 }, { $ref: '#/definitions/reference' }],
    });
  });

  it('accepts what the loader accepts, and rejects unknown keys', () => {
    const validator = z.fromJSONSchema(jsonSchema(feedTypes) as z.core.JSONSchema.JSONSchema);
    expect(validator.safeParse(parse(CONTRACT)).error).toBeUndefined();
    const referring = { origins: { shop: { url: 'demo:' } }, listen: { port: '${PORT}' } };
    expect(validator.safeParse(referring).success).toBe(true);
    expect(validator.safeParse({ ...referring, log: { levle: 'info' } }).success).toBe(false);
  });

  it("has the keys of each feed type's adapter", () => {
    const feeds = properties(schema).map(([path]) => path);
    expect(feeds).toEqual(expect.arrayContaining(['/feeds/url', '/feeds/slot', '/feeds/max-silence']));
  });
});

describe('the shipped configuration', () => {
  it('is valid', async () => {
    const text = await readFile(new URL('../../proxy.config.yaml', import.meta.url), 'utf8');
    const loaded = load(text, { feedTypes: FEED_TYPES });
    expect(loaded).toMatchObject({ kind: 'ok', warnings: [] });
    expect(loaded.kind === 'ok' && loaded.config.origins['shop']?.urls).toEqual(['demo:']);
  });

  it('names the shipped schema, which is up to date', async () => {
    const text = await readFile(new URL('../../proxy.config.yaml', import.meta.url), 'utf8');
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/proxy\.config\.schema\.json\n/);
    const shipped = await readFile(new URL('../../proxy.config.schema.json', import.meta.url), 'utf8');
    expect(shipped).toBe(jsonSchemaText(FEED_TYPES));
  });
});

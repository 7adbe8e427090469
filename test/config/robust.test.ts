import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { fc } from '../support/properties.ts';
import { load } from './load.ts';

const SHIPPED = readFileSync(new URL('../../proxy.config.yaml', import.meta.url), 'utf8');

const PIECES =
  '\n|  |- |: |{|}|[|]|"|&a |*a|!t |${|${A:-|? |---\n|origins|routes|match|url|demo:|/*|0|~'.split('|');

const FEEDS = {
  feeds: { f: { type: 'sse', url: 'u', map: [{ when: { a: [1] }, invalidate: { tags: ['{a}'] } }] } },
};

type Node = Record<string, unknown> | unknown[];

/** Every map and list in plain data. */
function nodesOf(value: unknown): Node[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Node, ...Object.values(value).flatMap(nodesOf)];
}

/** A valid configuration with some values in wrong places, or with unknown keys. */
const spoilt = fc
  .array(fc.record({ node: fc.nat(), key: fc.nat(), name: fc.option(fc.string()), value: fc.jsonValue() }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((changes) => {
    const root: unknown = { ...(parse(SHIPPED) as object), ...structuredClone(FEEDS) };
    for (const { node, key, name, value } of changes) {
      const nodes = nodesOf(root);
      const target = nodes[node % nodes.length]!;
      const keys = Object.keys(target);
      const at = name ?? keys[key % Math.max(1, keys.length)] ?? 'x';
      Reflect.set(target, Array.isArray(target) ? key % (target.length + 1) : at, structuredClone(value));
    }
    return stringify(root);
  });

/**
 * Checks that places are in the text, and that each message says both what was expected and what was found.
 */
function expectSound(text: string): void {
  const loaded = load(text);
  const diagnostics = loaded.kind === 'ok' ? loaded.warnings : loaded.errors;
  if (loaded.kind === 'invalid') expect(diagnostics.length).toBeGreaterThan(0);
  const lines = text.split('\n');
  for (const { line, column, path, message } of diagnostics) {
    expect(path).not.toBe('');
    expect(message).toMatch(/^expected .+, got .+/s);
    expect(message).not.toMatch(/Invalid input|undefined|\[object/);
    expect(line).toBeGreaterThanOrEqual(1);
    expect(line).toBeLessThanOrEqual(lines.length);
    expect(column).toBeGreaterThanOrEqual(1);
    expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length + 1);
  }
}

describe('the loader', () => {
  it('reports the place of every error, and never throws', () => {
    fc.assert(fc.property(spoilt, expectSound), { numRuns: 300 });
  });

  it('reads any text, and never throws', () => {
    const piece = fc.constantFrom(...PIECES);
    const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''));
    fc.assert(fc.property(text, expectSound), { numRuns: 500 });
  });
});

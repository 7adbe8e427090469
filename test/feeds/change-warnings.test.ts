import { describe, expect, it } from 'vitest';
import type { Change } from '../../policies/change.ts';
import { compileMapping } from '../../policies/mapping.ts';
import { MAX_SHAPES, ChangeWarnings } from '../../proxy/feeds/change-warnings.ts';
import { batchOf } from '../../proxy/feeds/change-batch.ts';

const MAP = [
  { when: { table: 'products' }, invalidate: { tags: ['product:{id}'], urls: [], prefixes: [] } },
] as const;

function row(table: string, after: Record<string, string>, known: Change['known'] = 'all'): Change {
  return { message: [{ table, op: 'update' }], before: null, after, known };
}

function given() {
  const lines: { message: string; details: Record<string, unknown> }[] = [];
  const warnings = new ChangeWarnings(MAP, (level, message, details) => {
    expect(level).toBe('warn');
    lines.push({ message, details: details as Record<string, unknown> });
  });
  const context = {
    versionField: null,
    clock: { monotonicMs: () => 0 },
    mapping: compileMapping(MAP),
    scope: ['feed:f'],
    tagsOf: ({ tags }: { readonly tags: readonly string[] }) => tags,
    warnings,
  };
  const take = (...changes: Change[]) => batchOf({ kind: 'change', position: '1', changes }, context, 0);
  return { lines, take };
}

describe('a change that the map does not match', () => {
  it('is logged once for each shape, without the values of its row', async () => {
    const { lines, take } = given();
    await take(row('product', { id: '1', card: 'secret' }), row('product', { id: '2', card: 'other' }));
    await take(row('orders', { id: '1' }), row('product', { id: '3', card: 'third' }));
    expect(lines).toMatchObject([
      {
        message: expect.stringContaining('no entry of the map matches a change'),
        details: {
          change: { table: 'product', op: 'update' },
          fields: ['card', 'id'],
          cure: expect.stringContaining('compare table with the conditions of the map'),
        },
      },
      { details: { change: { table: 'orders' } } },
    ]);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  it('is logged for a limited number of shapes', async () => {
    const { lines, take } = given();
    await take(...Array.from({ length: 1000 }, (_, i) => row(`t${i}`, {})));
    expect(lines).toHaveLength(MAX_SHAPES + 1);
    expect(lines.at(-1)!.message).toContain('counted, not logged');
  });
});

describe('a change that has no value for a template', () => {
  it('is logged with its table, what it lacks, and the cure', async () => {
    const { lines, take } = given();
    const batch = await take(row('products', { sku: '7' }), row('products', { sku: '8' }));
    expect(batch).toMatchObject({ as: 'scope', reason: 'a change has no value for id' });
    expect(lines).toMatchObject([
      {
        message: expect.stringContaining('has no value for a template'),
        details: {
          change: { table: 'products' },
          fields: ['sku'],
          missing: ['id'],
          cure: expect.stringContaining('use fields in the templates'),
        },
      },
    ]);
  });

  it('names REPLICA IDENTITY where the old row is only partly known', async () => {
    const { lines, take } = given();
    await take(row('products', { id: '7' }, 'key-of-before'));
    expect(lines[0]!.details['cure']).toContain('REPLICA IDENTITY');
  });
});

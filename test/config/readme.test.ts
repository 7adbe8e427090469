import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import { loadConfig, type LoadedConfig } from '../../policies/config/load.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';

const ROOT = join(import.meta.dirname, '../..');
const blocks = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
  (match) => match[1]!,
);

function load(text: string): LoadedConfig {
  const source = { text, file: 'README.md', directory: ROOT, env: {} };
  return loadConfig({ ...source, feedTypes: FEED_TYPES });
}

describe("the README's configurations", () => {
  it.each(blocks.map((text, i) => [i + 1, text] as const))('number %i is fine', (_, text) => {
    const loaded = load(text);
    expect(loaded.kind === 'ok' ? [] : loaded.errors.map(formatDiagnostic)).toEqual([]);
  });

  it('shows the defaults: without its values the configuration is the same', () => {
    const [, reference] = blocks;
    const shown = load(reference!);
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
    expect(shown.kind).toBe('ok');
    expect(bare.kind).toBe('ok');
    if (shown.kind === 'ok' && bare.kind === 'ok') expect(shown.config).toEqual(bare.config);
  });
});

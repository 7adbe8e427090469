import { readFile, readdir } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** Each layer and the other layers that it may import. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  policies: [],
  'origin-adapters': ['policies'],
  proxy: ['policies', 'origin-adapters'],
  bench: ['policies', 'origin-adapters', 'proxy'],
  test: ['policies', 'origin-adapters', 'proxy', 'bench'],
};

/** Packages and built-in modules that use nothing outside the process and start nothing. */
const PURE: ReadonlySet<string> = new Set([
  'ipaddr.js',
  'structured-headers',
  'yaml',
  'zod',
  'node:buffer',
  'node:crypto',
  'node:path',
]);

/** Clocks, timers, randomness and the process's environment. Policies get these as arguments. */
const IMPURE =
  /\b(?:Date\.now|new Date\(\)|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|process\.|console\.|await |async |Promise\b|fetch\()/;

interface SourceFile {
  readonly path: string;
  readonly code: string;
  readonly imports: readonly string[];
}

async function filesOf(layer: string): Promise<SourceFile[]> {
  const entries = await readdir(join(ROOT, layer), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.ts'));
  return Promise.all(
    files.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      const text = await readFile(path, 'utf8');
      return { path: relative(ROOT, path), code: withoutComments(text), imports: importsOf(text) };
    }),
  );
}

/** Static and dynamic imports, re-exports and imports of types. */
function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g)].map((found) => found[2]!);
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`\\])\/\/.*$/gm, '');
}

function layerOf(file: SourceFile, specifier: string): string {
  return join(dirname(file.path), specifier).split('/')[0]!;
}

describe.each(Object.entries(LAYERS))('%s', (layer, below) => {
  it(`imports only from ${['itself', ...below].join(', ')}`, async () => {
    const files = await filesOf(layer);
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith('.'))
        .filter((specifier) => ![layer, ...below].includes(layerOf(file, specifier)))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('names files with their extension and built-in modules with node:', async () => {
    const files = await filesOf(layer);
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) =>
          specifier.startsWith('.')
            ? !/\.(?:ts|json)$/.test(specifier)
            : isBuiltin(specifier) && !specifier.startsWith('node:'),
        )
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('policies', () => {
  it('import nothing that has a socket, a file or a clock', async () => {
    const wrong = (await filesOf('policies')).flatMap((file) =>
      file.imports
        .filter((specifier) => !specifier.startsWith('.') && !PURE.has(specifier))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('use no clock, timer, randomness, promise or environment', async () => {
    const wrong = (await filesOf('policies')).flatMap((file) => {
      const found = IMPURE.exec(file.code);
      return found === null ? [] : [`${file.path} uses ${found[0]}`];
    });
    expect(wrong).toEqual([]);
  });
});

describe('the reader of imports', () => {
  it('finds every kind of import', () => {
    const text = `import a from './a.ts';
import type { B } from "./b.ts";
import {
  c,
} from './c.ts';
export * from './d.ts';
export { e } from './e.ts';
const f = await import('./f.ts');
import './g.ts';`;
    expect(importsOf(text)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `./${name}.ts`));
  });
});

/** The modules of `proxy/` and the order of their imports, as `docs/architecture.md` draws it. */
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MODULES } from './modules.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Import {
  readonly from: string;
  readonly to: string;
}

async function sourcesOf(layer: string): Promise<[string, string][]> {
  const names = await readdir(join(ROOT, layer), { recursive: true });
  return Promise.all(
    names
      .filter((name) => name.endsWith('.ts'))
      .map(async (name): Promise<[string, string]> => {
        const path = join(layer, name);
        return [path, await readFile(join(ROOT, path), 'utf8')];
      }),
  );
}

const sources = await sourcesOf('proxy');

function importsOf(path: string, text: string): Import[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)'(\.[^'\n]+)'/g)].map(([, specifier]) => ({
    from: path,
    to: join(dirname(path), specifier!),
  }));
}

/** The folder directly below `proxy/`; null: a file of `proxy/` itself, or another layer. */
function moduleOf(path: string): string | null {
  const [layer, module, file] = path.split('/');
  return layer === 'proxy' && file !== undefined ? module! : null;
}

const imports = sources.flatMap(([path, text]) => importsOf(path, text));

describe('the modules of proxy/', () => {
  it('are those of the table', () => {
    const found = new Set(sources.map(([path]) => moduleOf(path)).filter((module) => module !== null));
    expect([...found].toSorted()).toEqual(Object.keys(MODULES).toSorted());
  });

  it('import only the modules that the table allows', () => {
    const wrong = imports.filter(({ from, to }) => {
      const [importer, imported] = [moduleOf(from), moduleOf(to)];
      if (importer === null || imported === null || importer === imported) return false;
      return !(MODULES[importer] ?? []).includes(imported);
    });
    expect(wrong).toEqual([]);
  });

  it('form no circle', () => {
    const order = Object.keys(MODULES);
    const upward = Object.entries(MODULES).flatMap(([module, allowed]) =>
      allowed
        .filter((below) => order.indexOf(below) >= order.indexOf(module))
        .map((below) => `${module} → ${below}`),
    );
    expect(upward).toEqual([]);
  });
});

describe('exported types', () => {
  it('share no name', async () => {
    const all = [...sources, ...(await sourcesOf('policies')), ...(await sourcesOf('origin-adapters'))];
    const places = new Map<string, string[]>();
    for (const [path, text] of all) {
      for (const [, name] of text.matchAll(/^export (?:abstract )?(?:class|interface|type) (\w+)/gm)) {
        places.set(name!, [...(places.get(name!) ?? []), path]);
      }
    }
    expect([...places].filter(([, paths]) => paths.length > 1)).toEqual([]);
  });
});

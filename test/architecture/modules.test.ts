/** Tests the modules of `proxy/` and the order of their imports, as `docs/architecture.md` draws it. */
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FACE, LEAVES, MODULES } from './modules.ts';

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

/** The folder directly below `proxy/`, or the name of a file of `proxy/` itself; null: another layer. */
function moduleOf(path: string): string | null {
  const [layer, module] = path.split('/');
  return layer === 'proxy' ? module! : null;
}

/** The modules of `proxy/` that a module, or a file of `proxy/` itself, may import. */
function allowedFor(importer: string): readonly string[] {
  if (importer === FACE.file) return [...FACE.modules, ...LEAVES];
  return [...(MODULES[importer] ?? []), ...LEAVES];
}

const imports = sources.flatMap(([path, text]) => importsOf(path, text));

describe('the modules of proxy/', () => {
  it('are those in the table', () => {
    const found = new Set(sources.map(([path]) => moduleOf(path)).filter((module) => module !== null));
    expect([...found].toSorted()).toEqual([...Object.keys(MODULES), ...LEAVES, FACE.file].toSorted());
  });

  it('import only the modules that the table allows', () => {
    const wrong = imports.filter(({ from, to }) => {
      const [importer, imported] = [moduleOf(from), moduleOf(to)];
      if (importer === null || imported === null || importer === imported) return false;
      return !allowedFor(importer).includes(imported);
    });
    expect(wrong).toEqual([]);
  });

  it('import every module that the table allows', () => {
    const found = new Set(imports.map(({ from, to }) => `${moduleOf(from)} → ${moduleOf(to)}`));
    const allowed = Object.entries({ ...MODULES, [FACE.file]: FACE.modules });
    const unused = allowed.flatMap(([importer, modules]) =>
      modules.map((imported) => `${importer} → ${imported}`).filter((edge) => !found.has(edge)),
    );
    expect(unused).toEqual([]);
  });

  it('have no import cycle', () => {
    const order = Object.keys(MODULES);
    const upward = Object.entries(MODULES).flatMap(([module, allowed]) =>
      allowed
        .filter((below) => order.indexOf(below) >= order.indexOf(module))
        .map((below) => `${module} → ${below}`),
    );
    expect(upward).toEqual([]);
  });
});

/** The names of the types that a file exports, except types that it re-exports under their own names. */
function exportedTypes(text: string): string[] {
  const declared = text.matchAll(
    /^export (?:default )?(?:declare )?(?:abstract )?(?:const )?(?:class|interface|type|enum) (\w+)/gm,
  );
  const listed = [...text.matchAll(/^export (?:type )?\{([^}]*)\}( from)?/gm)].flatMap(([, names, isAgain]) =>
    names!.split(',').flatMap((name) => {
      const [own, given] = name
        .trim()
        .replace(/^type /, '')
        .split(/ as /);
      return given === undefined && isAgain !== undefined ? [] : [given ?? own!];
    }),
  );
  return [...Array.from(declared, ([, name]) => name!), ...listed].filter((name) => /^[A-Z]\w*$/.test(name));
}

describe('exported types', () => {
  it('are found in every form', () => {
    const text = [
      'export interface One {}',
      'export type Two = string;',
      'export abstract class Three {}',
      'export declare class Four {}',
      'export const enum Five {}',
      'export enum Six {}',
      "export type { A as Seven } from './a.ts';",
      'export { type B as Eight, Nine, value };',
      "export type { Again } from './b.ts';",
    ].join('\n');
    expect(exportedTypes(text)).toEqual([
      'One',
      'Two',
      'Three',
      'Four',
      'Five',
      'Six',
      'Seven',
      'Eight',
      'Nine',
    ]);
  });

  it('have different names', async () => {
    const all = [...sources, ...(await sourcesOf('policies')), ...(await sourcesOf('origin-adapters'))];
    const places = new Map<string, string[]>();
    for (const [path, text] of all) {
      for (const name of exportedTypes(text)) places.set(name, [...(places.get(name) ?? []), path]);
    }
    expect([...places].filter(([, paths]) => paths.length > 1)).toEqual([]);
  });
});

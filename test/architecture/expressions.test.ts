/** Tests of the regular expressions and the readers of fields in the source. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { analyse } from 'scslre';
import { parseAst } from 'vitest/node';
import { describe, expect, it } from 'vitest';
import { READ_OF_ANSWERS, READ_OF_REQUESTS } from '../policies/fields-read.ts';

const ROOT = join(import.meta.dirname, '../..');
const LAYERS = ['policies', 'origin-adapters', 'proxy'];

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

interface Expression {
  readonly source: string;
  readonly flags: string;
}

async function sourcesOf(layer: string): Promise<[string, Node][]> {
  const names = (await readdir(join(ROOT, layer), { recursive: true })).filter((name) =>
    name.endsWith('.ts'),
  );
  return Promise.all(
    names.map(async (name): Promise<[string, Node]> => {
      const text = await readFile(join(ROOT, layer, name), 'utf8');
      return [`${layer}/${name}`, parseAst(text, { lang: 'ts' }) as unknown as Node];
    }),
  );
}

const sources = (await Promise.all(LAYERS.map(sourcesOf))).flat();

function* nodesOf(value: unknown): Generator<Node> {
  if (Array.isArray(value)) for (const item of value) yield* nodesOf(item);
  if (typeof value !== 'object' || value === null || !('type' in value)) return;
  yield value as Node;
  for (const child of Object.values(value)) yield* nodesOf(child);
}

/** The reasons why an expression takes more than linear time; empty if it does not. */
function faultsOf({ source, flags }: Expression): string[] {
  return analyse({ source, flags }).reports.map(({ type, character }) => `${type} at ${character.pick}`);
}

function literalsOf(program: Node): Expression[] {
  return [...nodesOf(program)].flatMap((node) => {
    const regex = node['regex'] as { pattern: string; flags: string } | undefined;
    return node.type === 'Literal' && regex ? [{ source: regex.pattern, flags: regex.flags }] : [];
  });
}

describe('regular expressions', () => {
  it('take linear time: no two adjacent or nested quantifiers can match the same characters', () => {
    const wrong = sources.flatMap(([path, program]) =>
      literalsOf(program).flatMap((expression) => {
        const faults = faultsOf(expression);
        return faults.length === 0 ? [] : [`${path}: /${expression.source}/: ${faults.join(', ')}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  /** Files that compose expressions from constants of bounded length or from values of the configuration. */
  const COMPOSED: ReadonlySet<string> = new Set([
    'policies/config/units.ts',
    'policies/http/dates.ts',
    'proxy/runtime/process-memory.ts',
  ]);

  it('are literals, so that the test above can read them', () => {
    const wrong = sources.flatMap(([path, program]) =>
      [...nodesOf(program)]
        .filter(({ type }) => type === 'NewExpression' || type === 'CallExpression')
        .filter(({ callee }) => (callee as Node)['name'] === 'RegExp' && !COMPOSED.has(path))
        .map(() => path),
    );
    expect(wrong).toEqual([]);
  });

  it.each([/^(a+)+$/, /a*b?a*c/, /^[^;]*?[ \t]*;$/, /=+$/])(
    'are found where they take more than linear time: %s',
    (expression) => {
      expect(faultsOf(expression)).not.toEqual([]);
    },
  );
});

describe('fields', () => {
  /** Files that trim segments of decoded paths, as origins do. */
  const OF_PATHS: ReadonlySet<string> = new Set(['policies/key.ts']);

  it("are trimmed only of HTTP's white space, because other white space may be the end of a character", () => {
    const wrong = sources.flatMap(([path, program]) =>
      [...nodesOf(program)]
        .filter(
          ({ type }) => path.startsWith('policies/') && !OF_PATHS.has(path) && type === 'MemberExpression',
        )
        .filter(({ property }) => /^trim(?:Start|End)?$/.test(String((property as Node)['name'])))
        .map(() => path),
    );
    expect(wrong).toEqual([]);
  });

  it('that are read by name are among those that the test of linear time grows', () => {
    const readers = new Set([
      'fieldValue',
      'fieldValues',
      'listMembers',
      'comparedValue',
      'dictionaryField',
      'stringListField',
    ]);
    const read = sources.flatMap(([, program]) =>
      [...nodesOf(program)].flatMap((node) => {
        const callee = node['callee'] as Node | undefined;
        if (node.type !== 'CallExpression' || !readers.has(String(callee?.['name']))) return [];
        const name = (node['arguments'] as Node[])[1]?.['value'];
        return typeof name === 'string' ? [name] : [];
      }),
    );
    const grown = new Set<string>([...READ_OF_REQUESTS, ...READ_OF_ANSWERS]);
    expect(read.filter((name) => !grown.has(name))).toEqual([]);
  });
});

/**
 * Tests that files, metrics and log events in the documents exist, that drawings match the code, and that
 * decisions have one form.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TRANSITIONS } from '../../proxy/fetch/machine.ts';
import { STEPS, type StepName } from '../../proxy/request/steps.ts';
import { METRICS } from '../../proxy/runtime/metric-definitions.ts';
import { MODULES } from './modules.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'bench/README.md',
  'test/rfc9111/README.md',
  'test/conformance/README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

describe('documents', () => {
  it('name files and folders that exist', () => {
    const missing = documents.flatMap((document) =>
      [...read(document).matchAll(/`((?:policies|origin-adapters|proxy|bench|test|docs|\.ci)\/[\w./-]*)`/g)]
        .map(([, path]) => path!)
        .filter((path) => !path.includes('NAME'))
        // Tests are also named by their path below test/, without an ending.
        .filter((path) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, `test/${path}.test.ts`)))
        .map((path) => `${document}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  it('link to documents that exist', () => {
    const broken = documents.flatMap((document) =>
      [...read(document).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
        .map(([, target]) => target!)
        .filter((target) => !existsSync(join(ROOT, dirname(document), target)))
        .map((target) => `${document}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('name metrics that exist', () => {
    const samples = new Set(
      METRICS.flatMap(({ name, type }) =>
        type === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    const unknown = [...documents, 'CHANGELOG.md'].flatMap((document) =>
      [...read(document).matchAll(/\bweir_[a-z_]+\b/g)]
        .filter(([name]) => !samples.has(name))
        .map(([name]) => `${document}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  it('name log events that exist', () => {
    const logged = new Set(
      readdirSync(join(ROOT, 'proxy'), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .flatMap((name) => allOf(read(join('proxy', name)), /(?:\bevent: |#log\()'([a-z-]+)'/g)),
    );
    const renamed = /^- Events of the log have plain names: [^]+?(?=^- )/m.exec(read('CHANGELOG.md'))![0];
    const sections = [
      read('docs/operating.md').split('\n## Logs\n')[1]!.split('\n## ')[0]!,
      // The former names are in parentheses.
      renamed.replaceAll(/\([^)]*\)/g, ''),
    ];
    const events = [
      ...sections.flatMap((text) => allOf(text, /`([a-z]+(?:-[a-z]+)+)`/g)),
      ...['operating', 'upgrading', 'metrics'].flatMap((name) =>
        allOf(read(`docs/${name}.md`), /`event: ([a-z-]+)`/g),
      ),
      ...allOf(read('docs/writes.md'), /`(write-[a-z-]+)`/g),
    ];
    expect(events).toEqual(expect.arrayContaining(['origin-failed', 'disk-emptied', 'state', 'write-dead']));
    expect(events.filter((event) => !logged.has(event))).toEqual([]);
  });
});

describe('decisions', () => {
  const names = readdirSync(join(ROOT, 'docs/decisions')).filter((name) => name !== 'README.md');

  it('say when, what and why in the same form', () => {
    const form =
      /^# .+\n\n\d{4}-\d\d-\d\d · .+\n\n\*\*Decided\.\*\* [^]+\n\n\*\*Because\.\*\* [^]+?\n(\n\*\*Rejected\.\*\* [^]+?\n)?(\n\*\*Reopens\.\*\* [^]+?\n)?$/;
    expect(names.filter((name) => !form.test(read(`docs/decisions/${name}`)))).toEqual([]);
  });

  it('are in the index, with title and date', () => {
    const index = read('docs/decisions/README.md');
    const missing = names.filter((name) => {
      const [title, , date] = read(`docs/decisions/${name}`).split('\n');
      return !index.includes(`- [${title!.slice(2)}](${name}) (${date!.slice(0, 10)})`);
    });
    expect(missing).toEqual([]);
  });
});

describe('the diagram of modules in docs/architecture.md', () => {
  const page = read('docs/architecture.md').split('<!-- modules -->')[1]!;
  const drawn = page.slice(0, page.indexOf('\n## '));

  it('has the order of the table that imports are checked against', () => {
    const arrows = [...drawn.matchAll(/^ {2}(\w+) --> (\w+)$/gm)].map(([, from, to]) => `${from} → ${to}`);
    expect(arrows.toSorted()).toEqual(directImports().toSorted());
  });

  it('explains every module', () => {
    const rows = [...drawn.matchAll(/^\| `(\w+)`/gm)].map(([, module]) => module);
    expect(rows).toEqual(Object.keys(MODULES));
  });
});

describe('the diagrams of machines in docs/architecture.md', () => {
  /** Each state of the diagram with the states that follow it. */
  function drawn(name: string): Record<string, string[]> {
    const [, after] = read('docs/architecture.md').split(`<!-- ${name} -->`);
    const block = after!.slice(0, after!.indexOf('```\n\n'));
    const arrows = [...block.matchAll(/^ {2}([\w-]+) --> ([\w-]+|\[\*\])$/gm)];
    const following: Record<string, string[]> = {};
    for (const [, from, to] of arrows) (following[from!] ??= []).push(to === '[*]' ? 'end' : to!);
    return following;
  }

  it('have the transitions of a fetch', () => {
    const { end: _, ...transitions } = TRANSITIONS;
    expect(drawn('TRANSITIONS')).toEqual(transitions);
  });

  it('have the steps of GET and HEAD, and of unsafe methods', () => {
    const steps = drawn('STEPS');
    const listed = Object.entries(STEPS).filter(([from]) => Object.hasOwn(steps, from));
    expect(steps).toEqual(Object.fromEntries(listed));
    const undrawn = Object.values(steps)
      .flat()
      .filter((to) => STEPS[to as StepName].length > 0 && !Object.hasOwn(steps, to));
    expect(undrawn).toEqual([]);
  });
});

/** The texts that the first group of the pattern matches. */
function allOf(text: string, pattern: RegExp): string[] {
  return Array.from(text.matchAll(pattern), ([, group]) => group!);
}

/** The allowed imports that do not follow from other allowed imports. */
function directImports(): string[] {
  // In the table each module comes after those that it imports.
  const reached = new Map<string, Set<string>>();
  for (const [module, below] of Object.entries(MODULES)) {
    const further = below.flatMap((next) => Array.from(reached.get(next)!));
    reached.set(module, new Set([...below, ...further]));
  }
  return Object.entries(MODULES).flatMap(([module, below]) =>
    below
      .filter((target) => below.every((between) => !reached.get(between)!.has(target)))
      .map((target) => `${module} → ${target}`),
  );
}

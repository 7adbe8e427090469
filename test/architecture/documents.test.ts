/** What the documents say of the repository is so: files that they name exist, and decisions have one form. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

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
        // Tests are also named by their path below test/, without an ending.
        .filter((path) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, `test/${path}.test.ts`)))
        .map((path) => `${document}: ${path}`),
    );
    expect(missing).toEqual([]);
  });
});

describe('decisions', () => {
  const names = readdirSync(join(ROOT, 'docs/decisions')).filter((name) => name !== 'README.md');

  it('say when, what and why, in one form', () => {
    const form =
      /^# .+\n\n\d{4}-\d\d-\d\d · .+\n\n\*\*Decided\.\*\* [^]+\n\n\*\*Because\.\*\* [^]+?\n(\n\*\*Rejected\.\*\* [^]+?\n)?(\n\*\*Reopens\.\*\* [^]+?\n)?$/;
    expect(names.filter((name) => !form.test(read(`docs/decisions/${name}`)))).toEqual([]);
  });

  it('stand in the index, with title and date', () => {
    const index = read('docs/decisions/README.md');
    const missing = names.filter((name) => {
      const [title, , date] = read(`docs/decisions/${name}`).split('\n');
      return !index.includes(`- [${title!.slice(2)}](${name}) (${date!.slice(0, 10)})`);
    });
    expect(missing).toEqual([]);
  });
});

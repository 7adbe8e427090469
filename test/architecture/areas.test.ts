import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AREAS } from '../areas.ts';

const ROOT = join(import.meta.dirname, '../..');

it('the areas of the tests name files and folders that exist', () => {
  const named = Object.values(AREAS).flat();
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

it('every scenario is in an area', () => {
  const named = new Set(Object.values(AREAS).flat());
  const scenarios = globSync('test/scenarios/*.test.ts', { cwd: ROOT });
  expect(scenarios).not.toEqual([]);
  expect(scenarios.filter((path) => !named.has(path))).toEqual([]);
});

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AREAS } from '../areas.ts';

it('the areas of the tests name files and folders that exist', () => {
  const named = Object.values(AREAS).flat();
  expect(named.filter((path) => !existsSync(join(import.meta.dirname, '../..', path)))).toEqual([]);
});

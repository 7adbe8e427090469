/** Tests the order of imports between the folders of `proxy/writes/`. */
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';

const WRITES = join(import.meta.dirname, '../../proxy/writes');

/** The journal knows neither the delivery of its writes nor the requests that wait for them. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  journal: ['journal'],
  delivery: ['delivery', 'journal'],
  through: ['through', 'journal'],
};

it.each(Object.entries(MAY_IMPORT))('%s imports only %j of proxy/writes', async (folder, allowed) => {
  const names = await readdir(join(WRITES, folder));
  const imported = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(WRITES, folder, name), 'utf8');
      return [...text.matchAll(/\bfrom\s*'(\.[^'\n]+)'/g)].map(([, specifier]) =>
        relative(WRITES, join(WRITES, folder, dirname(specifier!))),
      );
    }),
  );
  const within = imported.flat().filter((path) => !path.startsWith('../'));
  expect(within.length).toBeGreaterThan(0);
  expect(within.filter((path) => !allowed.includes(path))).toEqual([]);
});

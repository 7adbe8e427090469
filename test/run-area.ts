/** `npm run test:area -- fetch`: runs the tests of one area, or of several; what begins with `-` goes to vitest. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AREAS } from './areas.ts';

const folders = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) =>
  entry.isDirectory(),
);
const all = { ...Object.fromEntries(folders.map(({ name }) => [name, [`test/${name}/`]])), ...AREAS };

const args = process.argv.slice(2);
const names = args.filter((arg) => !arg.startsWith('-'));
const unknown = names.filter((name) => !Object.hasOwn(all, name));
if (names.length === 0 || unknown.length > 0) {
  for (const name of unknown) console.error(`no area ${name}`);
  console.error(`usage: npm run test:area -- AREA…\nareas: ${Object.keys(all).toSorted().join(' ')}`);
  process.exitCode = 2;
} else {
  const paths = new Set(names.flatMap((name) => all[name]!));
  const vitest = join(import.meta.dirname, '../node_modules/vitest/vitest.mjs');
  const options = args.filter((arg) => arg.startsWith('-'));
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...paths, ...options], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

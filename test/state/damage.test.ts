/** A state that can't be opened is reported, and never ends the process. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it, onTestFinished, afterAll } from 'vitest';
import { checkDatabaseFile } from '../../proxy/state/file-check.ts';
import { openState } from '../../proxy/state/state-store.ts';
import { mountSmall } from '../support/file-systems.ts';

const OPENING_PROCESS = fileURLToPath(new URL('./opening-process.ts', import.meta.url));

let original: string;

beforeAll(async () => {
  original = mkdtempSync(join(tmpdir(), 'weir-state-'));
  const opened = await openState(original, 2 ** 20);
  if (opened.kind === 'failed') throw new Error(opened.reason);
  const { state } = opened;
  for (let i = 0; i < 400; i += 1) {
    await state.write(() => {
      state.table('records').put(`key ${i}`, Buffer.alloc(24, i));
      // A shorter value that replaces one of the same transaction keeps its pages.
      if (i % 10 === 0) state.table('write-bodies').put(`key ${i}`, Buffer.alloc(50_000));
      state.table('write-bodies').put(`key ${i}`, Buffer.alloc(i * 50, i));
      if (i >= 20) state.table('write-bodies').remove(`key ${i - 20}`);
    });
  }
  await state.close();
});

afterAll(() => rmSync(original, { recursive: true, force: true }));

/** Damages a copy of the state, opens it in another process, and returns what that process prints. */
function openedAfter(damage: Damage): string {
  return opened(damagedBy(damage));
}

type Damage = (file: string, bytes: number) => void;

function damagedBy(damage: Damage): string {
  const path = mkdtempSync(join(tmpdir(), 'weir-damaged-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  cpSync(original, path, { recursive: true });
  const file = join(path, 'state', 'data.mdb');
  damage(file, statSync(file).size);
  return path;
}

function opened(path: string): string {
  const { stdout, signal } = spawnSync(process.execPath, [OPENING_PROCESS, path], { encoding: 'utf8' });
  return signal ?? stdout.trim();
}

function overwrite(file: string, from: number, to: number): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.alloc(to - from, 0x5a), 0, to - from, from);
  closeSync(descriptor);
}

it('a sound state is opened', () => {
  expect(openedAfter(() => {})).toBe('open');
});

it.each([
  ['its first pages', (file: string) => overwrite(file, 0, 8_192)],
  ['all but its first pages', (file: string, bytes: number) => overwrite(file, 8_192, bytes)],
  ['its end', (file: string) => truncateSync(file, 12_288)],
])('a state that has lost %s is refused with the reason', (_, damage) => {
  expect(openedAfter(damage)).toMatch(/^failed: .*state.*: (its|it|a) /);
});

it.each([0, 8, 16, 32])('a state is refused on a file system with only %i KiB free', (freeKiB) => {
  const small = mountSmall(1);
  if (small === null) return;
  onTestFinished(() => small.unmount());
  mkdirSync(join(small.folder, 'state'));
  const fill = join(small.folder, 'fill');
  spawnSync('dd', ['if=/dev/zero', `of=${fill}`, 'bs=4096']);
  truncateSync(fill, statSync(fill).size - freeKiB * 1024);
  expect(opened(small.folder)).toMatch(/^failed: .*(ENOSPC|No space left)/);
});

it('the check trusts the rest of the file when its time is up', async () => {
  const path = damagedBy((file, bytes) => overwrite(file, 8_192, bytes));
  const file = join(path, 'state', 'data.mdb');
  expect(await checkDatabaseFile(file)).toMatch(/damaged/);
  expect(await checkDatabaseFile(file, 0)).toBeNull();
});

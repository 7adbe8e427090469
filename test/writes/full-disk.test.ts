import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const PROCESS = fileURLToPath(new URL('./full-disk-process.ts', import.meta.url));

/** Runs a command in a mount namespace of its own, where `folder` is a file system of 24 MiB. */
function onSmallDisk(folder: string, command: readonly string[]) {
  const script = `mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"`;
  return spawnSync('unshare', ['-rm', 'sh', '-c', script, folder, ...command], { encoding: 'utf8' });
}

const canMount = onSmallDisk('/mnt', ['true']).status === 0;
if (!canMount) console.warn('skipped: a full disk; no mount namespace can be made here');

it.skipIf(!canMount)('with a full disk writes are rejected, and no acknowledged one is lost', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-full-'));
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const { stdout, stderr, status } = onSmallDisk(disk, [process.execPath, PROCESS, disk]);
  rmSync(folder, { recursive: true, force: true });
  expect(status, stderr).toBe(0);
  const found = JSON.parse(stdout) as Record<string, number>;
  expect(found['refused']).toBe(20);
  expect(found['acknowledged']).toBeGreaterThan(100);
  expect(found).toMatchObject({ whole: found['acknowledged'], waiting: found['acknowledged'] });
});

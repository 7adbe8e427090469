import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openDisk, scratchFolder } from './support/open-disk.ts';

const FULL_DISK_PROCESS = fileURLToPath(new URL('./support/full-disk-process.ts', import.meta.url));

/** A script that opens the cache in a folder and prints the result. */
const OPENING = `
  const { openDiskWriter } = await import(${JSON.stringify(new URL('../../../proxy/store/disk/open.ts', import.meta.url).href)});
  const starts = ['first', 'second'];
  const path = process.argv[1];
  console.log(JSON.stringify(await openDiskWriter({ path, sizeBytes: 2 ** 26, queueBytes: 2 ** 26, starts, log() {} })));`;

/** Runs a command in a mount namespace of its own, where `folder` is a file system of 24 MiB. */
function onSmallDisk(folder: string, command: readonly string[]) {
  const script = `mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"`;
  return spawnSync('unshare', ['-rm', 'sh', '-c', script, folder, ...command], { encoding: 'utf8' });
}

const canMount = onSmallDisk('/mnt', ['true']).status === 0;
if (!canMount) console.warn('skipped: a full disk; no mount namespace can be created here');

describe.skipIf(!canMount)('a full disk', () => {
  it('stops storing but not serving, and resumes storing when there is room', () => {
    const folder = join(scratchFolder(), 'disk');
    mkdirSync(folder);
    const { stdout, stderr, status } = onSmallDisk(folder, [process.execPath, FULL_DISK_PROCESS, folder]);
    expect(status, stderr).toBe(0);
    const stopped = { kind: 'storing-stopped', untilRestart: false };
    const resumed = { kind: 'storing-resumed' };
    const full = { ...stopped, reason: 'no room in the file system' };
    const failed = { ...stopped, reason: expect.stringMatching(/Input\/output error|No space left/) };
    const steps: unknown[] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(steps).toEqual([
      { step: 'no room left', stored: true, storing: 'stopped', fullErrors: 1, events: [full] },
      { step: 'room again', stored: true, storing: 'stopped', fullErrors: 2, events: [resumed, full] },
      {
        step: 'a write fails for lack of room',
        stored: false,
        storing: 'stopped',
        fullErrors: 3,
        events: [resumed, failed],
      },
      { step: 'room after that', stored: true, storing: 'stopped', fullErrors: 4, events: [resumed, full] },
      {
        step: 'a write fails though there is room',
        stored: false,
        storing: 'stopped-until-restart',
        fullErrors: 5,
        events: [resumed, { ...failed, untilRestart: true }],
      },
      {
        step: 'no further write is tried',
        stored: false,
        storing: 'stopped-until-restart',
        fullErrors: 5,
        events: [],
      },
    ]);
  });
});

describe.skipIf(!canMount)('a read-only file system', () => {
  it('is reported as the reason, and the cache on it stays unchanged', async () => {
    const folder = scratchFolder();
    const path = join(folder, 'cache');
    await (await openDisk(path)).close();
    const before = readFileSync(join(path, 'data.mdb'));
    const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`;
    const command = [process.execPath, '--input-type=module', '-e', OPENING, path];
    const { stdout } = spawnSync('unshare', ['-rm', 'sh', '-c', script, folder, ...command], {
      encoding: 'utf8',
    });
    expect(JSON.parse(stdout)).toEqual({ kind: 'failed', reason: expect.stringContaining('EROFS') });
    expect(readFileSync(join(path, 'data.mdb'))).toEqual(before);
  });
});

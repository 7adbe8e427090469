import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDiskPath } from '../../proxy/state/disk-lock.ts';

const MODULE = new URL('../../proxy/state/disk-lock.ts', import.meta.url).href;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A process that tries to take the lock, prints the result, and runs until it is killed. */
function contender(path: string) {
  const code = `
    const { lockDiskPath } = await import(${JSON.stringify(MODULE)});
    console.log(lockDiskPath(${JSON.stringify(path)}).kind);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const printed = once(child.stdout, 'data').then(([data]) => String(data).trim());
  const kill = async (): Promise<void> => {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  return { printed, kill, pid: child.pid };
}

describe('the lock on the disk path', () => {
  it('creates a missing folder that only its owner can use', () => {
    const lock = lockDiskPath(join(folder, 'a', 'b'));
    expect(lock.kind).toBe('locked');
    expect(statSync(join(folder, 'a', 'b')).mode & 0o777).toBe(0o700);
    if (lock.kind === 'locked') lock.release();
  });

  it('refuses a second holder in the same process until it is released', () => {
    const first = lockDiskPath(folder);
    expect(lockDiskPath(folder)).toEqual({ kind: 'in-use', by: process.pid });
    if (first.kind === 'locked') first.release();
    const again = lockDiskPath(folder);
    expect(again.kind).toBe('locked');
    if (again.kind === 'locked') again.release();
  });

  it('names the process that holds it, and is free once that process is killed with SIGKILL', async () => {
    const holder = contender(folder);
    expect(await holder.printed).toBe('locked');
    expect(lockDiskPath(folder)).toEqual({ kind: 'in-use', by: holder.pid });
    await holder.kill();
    const lock = lockDiskPath(folder);
    expect(lock.kind).toBe('locked');
    if (lock.kind === 'locked') lock.release();
  });

  it('is taken by exactly one of several processes that start at once', async () => {
    const contenders = Array.from({ length: 4 }, () => contender(folder));
    const printed = await Promise.all(contenders.map((each) => each.printed));
    expect(printed.toSorted()).toEqual(['in-use', 'in-use', 'in-use', 'locked']);
    await Promise.all(contenders.map((each) => each.kill()));
  });

  it('is not released by garbage collection', async () => {
    const code = `
      const { lockDiskPath } = await import(${JSON.stringify(MODULE)});
      console.log(lockDiskPath(${JSON.stringify(folder)}).kind);
      for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(() => resolve(gc())));
      console.log(lockDiskPath(${JSON.stringify(folder)}).kind);`;
    const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', code]);
    const printed = [];
    for await (const data of child.stdout) printed.push(String(data));
    expect(printed.join('').trim().split('\n')).toEqual(['locked', 'in-use']);
  });

  it("reports why a path can't be written", () => {
    writeFileSync(join(folder, 'file'), '');
    const lock = lockDiskPath(join(folder, 'file', 'below'));
    expect(lock.kind).toBe('not-writable');
    if (lock.kind === 'not-writable') expect(lock.reason).toContain('ENOTDIR');
  });
});

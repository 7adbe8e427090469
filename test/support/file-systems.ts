/** Small file systems for one test; root is needed to mount them. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export interface SmallFileSystem {
  readonly folder: string;
  unmount(): void;
}

export interface BreakingFileSystem extends SmallFileSystem {
  /** From here on it is read-only, also through open files, as after an error of the device. */
  failToReadOnly(): void;
  /** Makes it writable again, as after a repair. No file may be open. */
  repair(): void;
}

/** In memory. Returns null where it can't be mounted, and prints that. */
export function mountSmall(sizeMiB: number): SmallFileSystem | null {
  const folder = mkdtempSync(join(tmpdir(), 'weir-small-'));
  const failure = run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder]);
  if (failure === null) return { folder, unmount: () => unmount(folder) };
  rmSync(folder, { recursive: true, force: true });
  return skipped(`a small file system: ${failure}`);
}

/** ext4 in a file. Returns null where it can't be mounted or made to fail, and prints that. */
export function mountBreaking(sizeMiB: number): BreakingFileSystem | null {
  const image = join(mkdtempSync(join(tmpdir(), 'weir-image-')), 'image');
  const folder = mkdtempSync(join(tmpdir(), 'weir-breaking-'));
  const mount = (): string | null => run('mount', ['-o', 'loop,errors=remount-ro', image, folder]);
  const failure = run('truncate', ['-s', `${sizeMiB}M`, image]) ?? run('mkfs.ext4', ['-q', image]) ?? mount();
  const trigger = (): string =>
    `/sys/fs/ext4/${basename(read('findmnt', ['-no', 'SOURCE', folder]))}/trigger_fs_error`;
  const remove = (): void => {
    unmount(folder);
    rmSync(join(image, '..'), { recursive: true, force: true });
  };
  if (failure !== null || !existsSync(trigger())) {
    remove();
    return skipped(`a file system that fails: ${failure ?? 'this kernel does not let it'}`);
  }
  return {
    folder,
    unmount: remove,
    failToReadOnly: () => writeFileSync(trigger(), 'a test'),
    repair() {
      const failed = run('umount', [folder]) ?? run('e2fsck', ['-fy', image], 1) ?? mount();
      if (failed !== null) throw new Error(failed);
    },
  };
}

function skipped(what: string): null {
  if (process.env['CI'] === 'true') throw new Error(what);
  console.warn(`skipped: ${what}`);
  return null;
}

function unmount(folder: string): void {
  run('umount', [folder]);
  rmSync(folder, { recursive: true, force: true });
}

/** Returns null if the exit code was at most `most`. */
function run(program: string, args: readonly string[], most = 0): string | null {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  return status !== null && status <= most ? null : (error?.message ?? stderr.trim());
}

function read(program: string, args: readonly string[]): string {
  return spawnSync(program, args, { encoding: 'utf8' }).stdout.trim();
}

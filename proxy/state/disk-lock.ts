/**
 * The exclusive lock on the disk path: only one Weir process may use it. The lock is an exclusive transaction of a
 * SQLite file, because that is the only kernel lock (fcntl on POSIX) that Node.js can take by itself. The kernel
 * releases it when the process ends for any reason, so no stale lock is left.
 */
import { accessSync, chmodSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export type DiskLock =
  | { readonly kind: 'locked'; release(): void }
  /** `by` is the holder's process id; absent: it could not be read. */
  | { readonly kind: 'in-use'; readonly by?: number }
  /** The file system is read-only. No process can write there, so no lock is taken. */
  | { readonly kind: 'read-only'; readonly reason: string }
  | { readonly kind: 'not-writable'; readonly reason: string };

/**
 * Creates the folder with mode 0700 if it is missing, and locks it until `release` or the end of the process. An existing
 * folder keeps its mode, because it may be shared on purpose. Secrets are in subfolders with their own modes.
 */
export function lockDiskPath(path: string): DiskLock {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    return refused(error);
  }
  return holdLock(join(path, 'weir.lock'), join(path, 'weir.pid'));
}

const SQLITE_BUSY = 5;

/** Keeps locked databases from garbage collection, which would close them and end their locks. */
const held = new Set<DatabaseSync>();

function holdLock(lockFile: string, pidFile: string): DiskLock {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(lockFile, { timeout: 0 });
    // Nothing is written, so this also works on a full file system.
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    chmodSync(lockFile, 0o600);
  } catch (error) {
    database?.close();
    if (isBusy(error)) return { kind: 'in-use', ...holderOf(pidFile) };
    return refused(error);
  }
  return keep(database, pidFile);
}

function keep(database: DatabaseSync, pidFile: string): DiskLock {
  held.add(database);
  noteHolder(pidFile);
  return {
    kind: 'locked',
    release(): void {
      if (!held.delete(database)) return;
      rmSync(pidFile, { force: true });
      database.close();
    },
  };
}

/** Writes the process id for the next process's message. The lock does not depend on it, so errors are ignored. */
function noteHolder(pidFile: string): void {
  try {
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch {
    rmSync(pidFile, { force: true });
  }
}

function holderOf(pidFile: string): { by?: number } {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'latin1'), 10);
    return Number.isSafeInteger(pid) && pid > 0 ? { by: pid } : {};
  } catch {
    return {};
  }
}

function refused(error: unknown): DiskLock {
  const isReadOnly = error instanceof Error && 'code' in error && error.code === 'EROFS';
  return { kind: isReadOnly ? 'read-only' : 'not-writable', reason: messageOf(error) };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

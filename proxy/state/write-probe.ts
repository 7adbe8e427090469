import { closeSync, existsSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Whether a folder's file system takes writes, asked before LMDB is. After a write that failed, lmdb leaves its locks
 * taken and its memory damaged, which can end the process: so it is not asked to write where we know that it would fail.
 */
export class WriteProbe {
  readonly #file: number;

  /**
   * To be made before LMDB opens the folder. Throws where no file can be made in it, or where there is no room for those
   * with which LMDB begins: it maps its lock file, and would end the process.
   */
  constructor(folder: string) {
    this.#file = openSync(join(folder, 'probe'), 'w', 0o600);
    if (!existsSync(join(folder, 'lock.mdb'))) writeFileSync(this.#file, Buffer.alloc(FIRST_BYTES));
    ftruncateSync(this.#file, 0);
    writeSync(this.#file, BYTE, 0, 1, 0);
  }

  /** The system's error; null: a write has just gone through. A few microseconds. */
  check(): NodeJS.ErrnoException | null {
    try {
      writeSync(this.#file, BYTE, 0, 1, 0);
      return null;
    } catch (error) {
      return error as NodeJS.ErrnoException;
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

const BYTE = Buffer.alloc(1);
/** More than the lock file and a few pages take. */
const FIRST_BYTES = 128 * 1024;

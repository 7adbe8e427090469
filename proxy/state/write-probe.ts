import { closeSync, existsSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Tests by a write of its own whether a folder's file system takes writes, before LMDB writes. After a write that
 * failed, lmdb keeps its locks and its memory is damaged, which can end the process.
 */
export class WriteProbe {
  readonly #file: number;

  /**
   * To be constructed before LMDB opens the folder. Throws where no file can be created in it, or where there is no
   * room for LMDB's first files: LMDB maps its lock file, and without room that ends the process.
   */
  constructor(folder: string) {
    this.#file = openSync(join(folder, 'probe'), 'w', 0o600);
    if (!existsSync(join(folder, 'lock.mdb'))) writeFileSync(this.#file, Buffer.alloc(FIRST_BYTES));
    ftruncateSync(this.#file, 0);
    writeSync(this.#file, BYTE, 0, 1, 0);
  }

  /** Writes a byte, in a few microseconds. Null: it was written; else the system's error. */
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
/** More than LMDB's lock file and first pages take. */
const FIRST_BYTES = 128 * 1024;

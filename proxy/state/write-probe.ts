import { closeSync, existsSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Tests with a write to its own file whether a folder's file system accepts writes, before LMDB writes. After a failed
 * write lmdb keeps its locks and has damaged memory, which can end the process.
 */
export class WriteProbe {
  readonly #file: number;

  /**
   * To be constructed before LMDB opens the folder. Throws if no file can be created in it, or if it lacks space for
   * LMDB's first files: LMDB maps its lock file into memory, and without space that ends the process.
   */
  constructor(folder: string) {
    this.#file = openSync(join(folder, 'probe'), 'w', 0o600);
    if (!existsSync(join(folder, 'lock.mdb'))) writeFileSync(this.#file, Buffer.alloc(FIRST_BYTES));
    ftruncateSync(this.#file, 0);
    writeSync(this.#file, BYTE, 0, 1, 0);
  }

  /** Writes a byte, which takes a few microseconds. Returns the system's error; null: the byte was written. */
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
/** More than the size of LMDB's lock file and first pages. */
const FIRST_BYTES = 128 * 1024;

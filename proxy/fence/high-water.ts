import { closeSync, constants, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * The highest sequence that was answered. It is a file in the cache's folder, so that it is copied and restored with the
 * cache. A state with a lower sequence is an old copy, which lacks invalidations of entries in the cache. The file is
 * not synced: it detects copies that an operator has restored, not crashes of the machine.
 */
export class HighWaterMark {
  readonly #file: number;
  readonly #bytes = Buffer.alloc(16);
  /** The sequence in the file when it was opened; 0: none. */
  readonly found: number;
  /** The last time that an earlier run recorded, in milliseconds since 1970; 0: none. */
  readonly foundTimeMs: number;

  /** Throws if the file can't be written. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const read = readSync(this.#file, this.#bytes, 0, 16, 0);
    this.found = read >= 8 ? this.#bytes.readDoubleLE(0) : 0;
    this.foundTimeMs = read === 16 ? this.#bytes.readDoubleLE(8) : 0;
    // This allocates the file's block, so that no purge has to wait for that.
    this.note(this.found);
  }

  /** Records a sequence, which takes a few microseconds. Throws if the file can't be written. */
  note(sequence: number): void {
    this.#bytes.writeDoubleLE(sequence);
    writeSync(this.#file, this.#bytes, 0, 8, 0);
  }

  /**
   * Records the time of the clock for lifetimes, in milliseconds. Entries stored so far have no later time. Returns the
   * error of the write; null: it succeeded.
   */
  noteTime(nowMs: number): Error | null {
    this.#bytes.writeDoubleLE(nowMs, 8);
    try {
      writeSync(this.#file, this.#bytes, 8, 8, 8);
      return null;
    } catch (error) {
      return error as Error;
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

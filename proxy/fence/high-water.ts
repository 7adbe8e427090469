import { closeSync, constants, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * The highest sequence that was answered for, kept in a file in the cache's folder: it goes where the cache goes. A state
 * that has not come so far is an old copy: what the cache holds was stored under invalidations that it has not seen. Not
 * synced: an operator's copies are what it finds out, not a machine's crash.
 */
export class HighWaterMark {
  readonly #file: number;
  readonly #bytes = Buffer.alloc(16);
  /** As it was found; 0: there was none. */
  readonly found: number;
  /** The last time that earlier runs have noted; 0: none. */
  readonly foundTimeMs: number;

  /** Throws where the file can't be written. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const read = readSync(this.#file, this.#bytes, 0, 16, 0);
    this.found = read >= 8 ? this.#bytes.readDoubleLE(0) : 0;
    this.foundTimeMs = read === 16 ? this.#bytes.readDoubleLE(8) : 0;
    // Its place in the file system is taken now, not when a purge waits for it.
    this.note(this.found);
  }

  /** A few microseconds. */
  note(sequence: number): void {
    this.#bytes.writeDoubleLE(sequence);
    writeSync(this.#file, this.#bytes, 0, 8, 0);
  }

  /** The time by which lifetimes count: what is stored by now is not from later. Returns why it could not be written; null: it was. */
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

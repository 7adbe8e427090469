import type { VersionMark } from '../../policies/feed-version.ts';
import { MAX_POSITION_BYTES } from '../../policies/position-field.ts';

/**
 * The positions of one feed in shared memory, written by the coordinator and read by workers. `announced` is written
 * before a change is applied to the fence: a reader that loads the fence's sequence first finds a position that covers
 * everything up to that sequence. `applied` is written after the change is applied and durable: a reader that loads it
 * before the fence's verdict gets a verdict that includes everything up to that position.
 *
 * The third cell has the highest version up to `announced`, for origins that attest versions.
 *
 * A cell has a counter, which is odd during a write, a length, and the text. A text that is too long counts as unknown.
 */
const CELL_WORDS = 2 + MAX_POSITION_BYTES / 4;
const CELLS = 3;
const VERSION = 0;
const LENGTH = 1;
const TEXT = 2;
const UNKNOWN = -1;

export function positionBuffer(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(CELLS * CELL_WORDS * 4);
  const words = new Int32Array(buffer);
  for (let cell = 0; cell < CELLS; cell += 1) words[cell * CELL_WORDS + LENGTH] = UNKNOWN;
  return buffer;
}

export class PositionCells {
  readonly #announced: Cell;
  readonly #applied: Cell;
  readonly #version: Cell;

  constructor(buffer: SharedArrayBuffer) {
    this.#announced = new Cell(buffer, 0);
    this.#applied = new Cell(buffer, CELL_WORDS);
    this.#version = new Cell(buffer, 2 * CELL_WORDS);
  }

  /** null: unknown, because nothing was read yet or the last gap has no position. */
  get announced(): string | null {
    return this.#announced.read();
  }

  get applied(): string | null {
    return this.#applied.read();
  }

  /** The version that a response must attest to include everything announced, in decimal; null: unknown. */
  get version(): string | null {
    return this.#version.read();
  }

  announce(position: string | null): void {
    this.#announced.write(position);
  }

  announceVersion({ highest, isKnown }: VersionMark): void {
    this.#version.write(isKnown ? String(highest) : null);
  }

  apply(position: string | null): void {
    this.#applied.write(position);
  }

  /** Resolves once the applied position satisfies `isFarEnough`; false after `timeoutMs`. */
  async applies(
    isFarEnough: (position: string) => boolean,
    timeoutMs: number,
    now: () => number,
  ): Promise<boolean> {
    const deadlineMs = now() + timeoutMs;
    for (;;) {
      const version = this.#applied.version();
      const position = this.applied;
      if (position !== null && isFarEnough(position)) return true;
      const leftMs = deadlineMs - now();
      if (leftMs <= 0) return false;
      await this.#applied.changes(version, leftMs);
    }
  }
}

class Cell {
  readonly #words: Int32Array<SharedArrayBuffer>;
  #readVersion = -1;
  #readText: string | null = null;

  constructor(buffer: SharedArrayBuffer, offsetWords: number) {
    this.#words = new Int32Array(buffer, offsetWords * 4, CELL_WORDS);
  }

  version(): number {
    return Atomics.load(this.#words, VERSION);
  }

  /** Resolves when the cell's counter differs, or after `timeoutMs`. */
  async changes(version: number, timeoutMs: number): Promise<void> {
    await Atomics.waitAsync(this.#words, VERSION, version, timeoutMs).value;
  }

  write(text: string | null): void {
    const bytes = text === null ? null : Buffer.from(text, 'utf8');
    const words = this.#words;
    const version = Atomics.load(words, VERSION);
    Atomics.store(words, VERSION, version + 1);
    if (bytes === null || bytes.length > MAX_POSITION_BYTES) Atomics.store(words, LENGTH, UNKNOWN);
    else {
      const padded = Buffer.alloc(Math.ceil(bytes.length / 4) * 4);
      bytes.copy(padded);
      for (let i = 0; i < padded.length; i += 4) Atomics.store(words, TEXT + i / 4, padded.readInt32LE(i));
      Atomics.store(words, LENGTH, bytes.length);
    }
    Atomics.store(words, VERSION, version + 2);
    Atomics.notify(words, VERSION);
  }

  /** A single load where the cell was not written since the last read. */
  read(): string | null {
    const words = this.#words;
    for (;;) {
      const version = Atomics.load(words, VERSION);
      if (version === this.#readVersion) return this.#readText;
      if (version % 2 !== 0) continue;
      const length = Atomics.load(words, LENGTH);
      const text = length === UNKNOWN ? null : this.#text(length);
      if (Atomics.load(words, VERSION) !== version) continue;
      this.#readVersion = version;
      this.#readText = text;
      return text;
    }
  }

  #text(length: number): string {
    const padded = Buffer.alloc(Math.ceil(length / 4) * 4);
    for (let i = 0; i < padded.length; i += 4) {
      padded.writeInt32LE(Atomics.load(this.#words, TEXT + i / 4), i);
    }
    return padded.toString('utf8', 0, length);
  }
}

import type { VersionMark } from '../../policies/feed-version.ts';
import { MAX_POSITION_BYTES } from '../../policies/position-field.ts';

/**
 * How far one feed has got, in shared memory. The coordinator writes two positions, and workers read them:
 * `announced` is written before a change comes into force, so that whoever reads a fence's sequence and then this knows
 * the position of everything up to that sequence; `applied` after it is in force and durable, so that whoever reads this
 * and then judges by the fence judges by everything up to that position.
 *
 * Beside what is announced stands the version that was told up to there, for origins that attest versions.
 *
 * A cell is a version, odd while it is written, a length, and the text. A position that is too long for it is unknown.
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

  /** null: not known, for nothing was followed yet, or for something was missed before a place that has no name. */
  get announced(): string | null {
    return this.#announced.read();
  }

  get applied(): string | null {
    return this.#applied.read();
  }

  /** The version that an answer needs to show everything announced, in decimal; null: not known. */
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

  /** Resolves when the applied position is such as `isFarEnough` says; false: not within `timeoutMs`. */
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

  /** Resolves when the version is no longer this one, or after that time. */
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

  /** One load where nothing was written since it was last read. */
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

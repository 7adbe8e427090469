/**
 * The beginning of a token whose end has not arrived. Grows by doubling, so that each byte is copied a bounded number of times.
 */
import { latin1Of } from './latin1.ts';

export class HeldBytes {
  length = 0;
  private bytes: Buffer = EMPTY;

  add(chunk: Buffer, from: number, to: number): void {
    const length = this.length + to - from;
    if (length > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(64, 2 * length));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    chunk.copy(this.bytes, this.length, from, to);
    this.length = length;
  }

  /** The held bytes with those of the chunk from `from` to `to`, as latin1; nothing is held afterwards. */
  take(chunk: Buffer, from: number, to: number): string {
    if (this.length === 0) return latin1Of(chunk, from, to);
    this.add(chunk, from, to);
    const text = latin1Of(this.bytes, 0, this.length);
    this.bytes = EMPTY;
    this.length = 0;
    return text;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

import { isUtf8 } from 'node:buffer';

/** The bytes violate the protocol. */
export class Unreadable extends Error {}

/** Milliseconds between 1970 and 2000, Postgres' epoch. */
const EPOCH_MS = 946_684_800_000;

/** Converts microseconds since 2000 to milliseconds since 1970. */
export function epochMs(micros: bigint): number {
  return Number(micros / 1000n) + EPOCH_MS;
}

/** Reads the values of Postgres' messages in network byte order. Throws `Unreadable` at the end of the bytes. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** One ASCII character. */
  tag(): string {
    return String.fromCharCode(this.uint8());
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#move(1));
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#move(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#move(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#move(8));
  }

  /** A time in microseconds since 2000. */
  micros(): bigint {
    return this.#bytes.readBigInt64BE(this.#move(8));
  }

  /** A text that ends with a zero byte. */
  name(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end === -1) throw new Unreadable('a name has no end');
    const name = this.text(end - this.#at);
    this.#move(1);
    return name;
  }

  /** UTF-8, copied from the bytes. */
  text(length: number): string {
    const start = this.#move(length);
    const text = this.#bytes.subarray(start, this.#at);
    if (!isUtf8(text)) throw new Unreadable('a text is not UTF-8');
    return text.toString('utf8');
  }

  skip(length: number): void {
    this.#move(length);
  }

  /** All remaining bytes. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }

  #move(length: number): number {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Unreadable('a message ends too early');
    return start;
  }
}

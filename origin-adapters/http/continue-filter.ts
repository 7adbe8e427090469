/**
 * RFC 9110 §15.2: removes 100 (Continue) from what a socket reads. A client must accept it even if it did not request
 * one, but undici closes the connection.
 */
import type { Socket } from 'node:net';

export interface ContinueFilter {
  /** The next byte begins a response. */
  expectHead(): void;
}

const endOfHead = Buffer.from('\r\n\r\n');
/** Up to the status; excludes 101, after which the connection is no longer HTTP. */
const interimStart = /^HTTP\/1\.[01] 1(?!01)\d\d$/;
const continueStart = /^HTTP\/1\.[01] 100$/;
/** The position of the status's first digit in a status line. */
const STATUS_AT = 'HTTP/1.1 '.length;
const DIGIT_1 = 0x31;
const likeliestStart = 'HTTP/1.1 100';
/** A longer interim head is passed on unchanged. */
const maxHeadBytes = 8 * 1024;

export function filterContinue(socket: Socket): ContinueFilter {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  let expecting = false;
  let held: Buffer = Buffer.alloc(0);

  socket.read = (size?: number): Buffer | null => {
    const chunk = read(size);
    if (!expecting || chunk === null) return chunk;
    // Nearly all responses begin with a final head, whose bytes are passed on as they are.
    if (held.length === 0 && chunk.length > STATUS_AT && chunk[STATUS_AT] !== DIGIT_1) {
      expecting = false;
      return chunk;
    }
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const passed: Buffer[] = [];
    while (held.length > 0) {
      const end = mayBe(interimStart, held) ? held.indexOf(endOfHead) : 0;
      if (end < 0 && held.length <= maxHeadBytes) break;
      expecting = end > 0;
      const length = expecting ? end + endOfHead.length : held.length;
      if (!expecting || !mayBe(continueStart, held)) passed.push(held.subarray(0, length));
      held = held.subarray(length);
    }
    return passed.length === 0 ? null : Buffer.concat(passed);
  };

  return {
    expectHead() {
      expecting = true;
    },
  };
}

/** Also true for a prefix of a possible match. */
function mayBe(start: RegExp, bytes: Buffer): boolean {
  const first = bytes.toString('latin1', 0, likeliestStart.length);
  return start.test(first + likeliestStart.slice(first.length));
}

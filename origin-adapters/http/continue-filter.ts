/**
 * Takes 100 (Continue) out of what a socket reads before undici sees it: undici ends the connection at one, where
 * RFC 9110 §15.2 has a client parse and drop it even if it did not ask for one.
 */
import type { Socket } from 'node:net';

export interface ContinueFilter {
  /** What is read next is the beginning of an answer. */
  expectHead(): void;
}

const endOfHead = Buffer.from('\r\n\r\n');
const beginnings = [Buffer.from('HTTP/1.1 100'), Buffer.from('HTTP/1.0 100')];
/** A head of 100 that is longer is left for undici to refuse. */
const maxHeadBytes = 8 * 1024;

export function filterContinue(socket: Socket): ContinueFilter {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  let expecting = false;
  let held: Buffer = Buffer.alloc(0);

  const passOn = (): Buffer => {
    const passed = held;
    expecting = false;
    held = Buffer.alloc(0);
    return passed;
  };

  socket.read = (size?: number): Buffer | null => {
    const chunk = read(size);
    if (!expecting || chunk === null) return chunk;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length > 0) {
      if (!mayBeContinue(held)) return passOn();
      const end = held.indexOf(endOfHead);
      if (end < 0) return held.length > maxHeadBytes ? passOn() : null;
      held = held.subarray(end + endOfHead.length);
    }
    return null;
  };

  return {
    expectHead() {
      expecting = true;
    },
  };
}

/** True also for the first bytes of what may become one. */
function mayBeContinue(bytes: Buffer): boolean {
  return beginnings.some((beginning) => {
    const length = Math.min(bytes.length, beginning.length);
    return bytes.compare(beginning, 0, length, 0, length) === 0;
  });
}

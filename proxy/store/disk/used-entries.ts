/**
 * Which entries were used since eviction last passed them: a bit for each in shared memory, which workers set and the
 * writer clears. The bit follows from the id. Entries may share a bit; then one is kept a round longer.
 */
export interface UsedEntries {
  /** Notes a use. `id`: 16 hexadecimal digits. */
  set(id: string): void;
  /** Clears the bit and tells whether it was set. */
  take(id: string): boolean;
}

/** One bit for so many bytes of the disk. */
const BYTES_PER_BIT = 1024;
const LEAST_BITS = 2 ** 16;
const MOST_BITS = 2 ** 26;

export function usedEntriesBuffer(diskBytes: number): SharedArrayBuffer {
  const bits = 2 ** Math.ceil(Math.log2(Math.max(1, diskBytes / BYTES_PER_BIT)));
  return new SharedArrayBuffer(Math.min(MOST_BITS, Math.max(LEAST_BITS, bits)) / 8);
}

export function createUsedEntries(buffer: SharedArrayBuffer): UsedEntries {
  const words = new Uint32Array(buffer);
  const lastWord = words.length - 1;
  return {
    set(id) {
      const bit = bitOf(id);
      const word = (bit >>> 5) & lastWord;
      const mask = 1 << (bit & 31);
      // Most uses are of entries whose bit is set already: a plain read leaves the cache line shared.
      if ((words[word]! & mask) === 0) Atomics.or(words, word, mask);
    },
    take(id) {
      const bit = bitOf(id);
      const word = (bit >>> 5) & lastWord;
      const mask = 1 << (bit & 31);
      if ((Atomics.load(words, word) & mask) === 0) return false;
      Atomics.and(words, word, ~mask);
      return true;
    },
  };
}

const DIGITS_OF_COUNT = 8;

/** The last digits count a worker's entries; those before it tell starts and workers apart, and spread their counts. */
function bitOf(id: string): number {
  // Digit by digit, without parts of the text: once a hit.
  const from = id.length - DIGITS_OF_COUNT;
  let worker = 0;
  for (let i = 0; i < from; i += 1) worker = ((worker << 4) | digitAt(id, i)) >>> 0;
  let count = 0;
  for (let i = Math.max(0, from); i < id.length; i += 1) count = ((count << 4) | digitAt(id, i)) >>> 0;
  return (count + Math.imul(worker, 0x9e37_79b1)) >>> 0;
}

/** Of a hexadecimal digit in lower case. */
function digitAt(id: string, at: number): number {
  const code = id.charCodeAt(at);
  return code < 0x3a ? code - 0x30 : code - 0x57;
}

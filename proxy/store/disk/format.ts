/**
 * How content and keys lie on disk; `record.ts` and `row.ts` have the records. Every record and chunk has a checksum: one
 * that is torn, damaged or under a wrong key reads as missing, never as another one.
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { PAGE_BYTES } from '../../state/file-check.ts';

/** Raised by every change that an older Weir would misread. A cache of another version is emptied. */
export const FORMAT_VERSION = 4;

/** Content up to this size lies in the entry's record, so that a hit reads the row and the record only. */
export const INLINE_BYTES = 4_096;
/**
 * Content up to this size is stored in one piece, with the record, in one transaction. Larger content is stored in
 * chunks while it comes in.
 */
export const SMALL_BYTES = 64 * 1024;

const PAGE_HEADER_BYTES = 24;
const CHECKSUM_BYTES = 4;

/**
 * Content bytes of each chunk but the last. LMDB keeps a large value in a run of pages, the first with a header; a
 * chunk with its checksum fills eight of them exactly. Runs of sixteen left the file about 2% larger after long use,
 * since free runs of that length are rarer, and were no faster.
 */
export const CHUNK_BYTES = 8 * PAGE_BYTES - PAGE_HEADER_BYTES - CHECKSUM_BYTES;

/** How an entry's content is stored, which its size decides. */
export type ContentKind = 'inline' | 'piece' | 'chunks';

export function contentKind(sizeBytes: number): ContentKind {
  if (sizeBytes <= INLINE_BYTES) return 'inline';
  return sizeBytes <= SMALL_BYTES ? 'piece' : 'chunks';
}

export function chunkCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CHUNK_BYTES);
}

/** Content bytes of one chunk of an entry of `sizeBytes`. */
export function chunkBytes(sizeBytes: number, index: number): number {
  return Math.min(CHUNK_BYTES, sizeBytes - index * CHUNK_BYTES);
}

const ID_PATTERN = /^[0-9a-f]{16}$/;

/** 8 bytes. Throws a RangeError where `id` is not 16 lower-case hexadecimal digits. */
export function idKey(id: string): Buffer {
  if (!ID_PATTERN.test(id)) throw new RangeError(`not an entry id: ${id}`);
  return Buffer.from(id, 'hex');
}

/** The id whose 8 bytes begin at `offset`. */
export function idOf(bytes: Uint8Array, offset = 0): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, 8).toString('hex');
}

/** Id and index, big-endian, so that the chunks of an entry follow each other. */
export function chunkKey(id: string, index: number): Buffer {
  const key = Buffer.allocUnsafe(12);
  key.write(id, 0, 8, 'hex');
  key.writeUInt32BE(index, 8);
  return key;
}

/** 8 bytes, big-endian, so that records follow each other in the order of their numbers. */
export function numberKey(number: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeUInt32BE(Math.floor(number / 2 ** 32), 0);
  key.writeUInt32BE(number % 2 ** 32, 4);
  return key;
}

export function numberOf(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return view.getUint32(0) * 2 ** 32 + view.getUint32(4);
}

/**
 * Numbers of entries of `evict: last` begin here, those of all others lie below: eviction in the order of numbers comes
 * to them last. Both ranges are larger than any count of entries.
 */
export const FIRST_LAST_NUMBER = 2 ** 52;

export const DIGEST_BYTES = 16;

let digestedKey = '';
let digest = hash('sha256', digestedKey, 'buffer').subarray(0, DIGEST_BYTES);

/**
 * Stands for a primary key, since a URL may be longer than LMDB's longest key. The result must not be changed. The last
 * one is kept, since one request looks for the same key several times.
 */
export function digestOf(key: string): Buffer {
  if (key !== digestedKey) {
    digest = hash('sha256', key, 'buffer').subarray(0, DIGEST_BYTES);
    digestedKey = key;
  }
  return digest;
}

/** A chunk as it is written: content and checksum, in `scratch`, which must be large enough for both. */
export function sealChunk(key: Uint8Array, bytes: Uint8Array, scratch: Buffer): Buffer {
  scratch.set(bytes);
  scratch.writeUInt32LE(crc32(bytes, crc32(key)), bytes.length);
  return scratch.subarray(0, bytes.length + CHECKSUM_BYTES);
}

export const SEALED_CHUNK_BYTES = CHUNK_BYTES + CHECKSUM_BYTES;

/** The content of a chunk as it was read, not copied; null where the checksum is wrong. */
export function openChunk<Memory extends ArrayBufferLike>(
  key: Uint8Array,
  sealed: Uint8Array<Memory>,
): Uint8Array<Memory> | null {
  if (sealed.length < CHECKSUM_BYTES) return null;
  const bytes = sealed.subarray(0, sealed.length - CHECKSUM_BYTES);
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.length);
  return view.getUint32(bytes.length, true) === crc32(bytes, crc32(key)) ? bytes : null;
}

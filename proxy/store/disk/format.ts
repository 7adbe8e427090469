/**
 * How entries lie on disk: keys, records, checksums. The checksum of a head or chunk covers its key, too: a record that
 * is torn, damaged or under a wrong key reads as missing, never as another one.
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { StoredMeta } from '../../../policies/model.ts';
import { PAGE_BYTES } from '../../state/file-check.ts';
import type { EntryHead } from '../entry-head.ts';

/** Raised by every change below that an older Weir would misread. A cache of another version is emptied. */
export const FORMAT_VERSION = 3;

const PAGE_HEADER_BYTES = 24;
const CHECKSUM_BYTES = 4;

/**
 * Content bytes of each chunk but the last. LMDB keeps a large value in a run of pages, the first with a header; a
 * chunk with its checksum fills eight of them exactly. Runs of sixteen left the file about 2% larger after long use,
 * since free runs of that length are rarer, and were no faster.
 */
export const CHUNK_BYTES = 8 * PAGE_BYTES - PAGE_HEADER_BYTES - CHECKSUM_BYTES;

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
export function idOf(key: Uint8Array, offset = 0): string {
  return Buffer.from(key.buffer, key.byteOffset + offset, 8).toString('hex');
}

/** Id and index, big-endian, so that the chunks of an entry follow each other. */
export function chunkKey(id: string, index: number): Buffer {
  const key = Buffer.allocUnsafe(12);
  key.write(id, 0, 8, 'hex');
  key.writeUInt32BE(index, 8);
  return key;
}

const LOOKUP_BYTES = 16;

/** Stands for a primary key, since a URL may be longer than LMDB's longest key. */
export function lookupOf(key: string): Buffer {
  return hash('sha256', key, 'buffer').subarray(0, LOOKUP_BYTES);
}

export function headKey(lookup: Uint8Array, id: string): Buffer {
  return Buffer.concat([lookup, idKey(id)]);
}

/** The range of keys of all variants of one primary key; `end` is excluded. */
export function variantRange(lookup: Uint8Array): { start: Buffer; end: Buffer } {
  return {
    start: Buffer.concat([lookup, Buffer.alloc(8)]),
    end: Buffer.concat([lookup, Buffer.alloc(9, 0xff)]),
  };
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

export interface StoredHead {
  readonly head: EntryHead;
  /** Milliseconds, by the clock of the order of eviction. */
  readonly storedAtMs: number;
}

/**
 * A head: checksum (4 bytes), format version (1), flags (1), count of tag hashes (4), time of storing, floor and size
 * (8 each), the tag hashes (4 each), and the rest as JSON. Numbers are little-endian.
 */
const HEAD_FIXED_BYTES = 34;
const HEAD_FLAG = { evictLast: 1, possiblyStale: 2 } as const;

interface HeadText {
  readonly id: string;
  readonly key: string;
  readonly route: string;
  readonly origin: string;
  readonly url: string;
  readonly meta: StoredMeta;
  readonly tags: readonly string[];
}

export function sealHead(key: Uint8Array, { head, storedAtMs }: StoredHead): Buffer {
  const { id, key: primaryKey, route, origin, url, meta, tags } = head;
  const text = JSON.stringify({ id, key: primaryKey, route, origin, url, meta, tags } satisfies HeadText);
  const hashesEnd = HEAD_FIXED_BYTES + head.tagHashes.length * 4;
  const record = Buffer.allocUnsafe(hashesEnd + Buffer.byteLength(text));
  record.writeUInt8(FORMAT_VERSION, 4);
  record.writeUInt8(headFlags(head), 5);
  record.writeUInt32LE(head.tagHashes.length, 6);
  record.writeDoubleLE(storedAtMs, 10);
  record.writeDoubleLE(head.floor, 18);
  record.writeDoubleLE(head.sizeBytes, 26);
  head.tagHashes.forEach((tagHash, i) => record.writeUInt32LE(tagHash, HEAD_FIXED_BYTES + i * 4));
  record.write(text, hashesEnd);
  record.writeUInt32LE(crc32(record.subarray(4), crc32(key)), 0);
  return record;
}

/** Null where the checksum, the version or the lengths are wrong. */
export function openHead(key: Uint8Array, record: Uint8Array): StoredHead | null {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
  if (bytes.length < HEAD_FIXED_BYTES) return null;
  if (bytes.readUInt32LE(0) !== crc32(bytes.subarray(4), crc32(key))) return null;
  if (bytes.readUInt8(4) !== FORMAT_VERSION) return null;
  const hashCount = bytes.readUInt32LE(6);
  const tagHashes = Uint32Array.from({ length: hashCount }, (_, i) =>
    bytes.readUInt32LE(HEAD_FIXED_BYTES + i * 4),
  );
  // The checksum shows that `sealHead` wrote this.
  const text = JSON.parse(bytes.toString('utf8', HEAD_FIXED_BYTES + hashCount * 4)) as HeadText;
  const head = {
    ...text,
    tagHashes,
    floor: bytes.readDoubleLE(18),
    sizeBytes: bytes.readDoubleLE(26),
    evictLast: (bytes.readUInt8(5) & HEAD_FLAG.evictLast) !== 0,
    possiblyStale: (bytes.readUInt8(5) & HEAD_FLAG.possiblyStale) !== 0,
  };
  return { head, storedAtMs: bytes.readDoubleLE(10) };
}

function headFlags({ evictLast, possiblyStale }: EntryHead): number {
  return (evictLast ? HEAD_FLAG.evictLast : 0) | (possiblyStale ? HEAD_FLAG.possiblyStale : 0);
}

/** The writer's record of an entry by its id, from which the keys of its other records follow. */
export interface EntryPlace {
  readonly evictLast: boolean;
  /** The time of use by which the entry stands in the order of eviction, in milliseconds. */
  readonly usedAtMs: number;
  readonly lookup: Buffer;
  readonly sizeBytes: number;
}

const PLACE_BYTES = 31;

export function sealPlace(place: EntryPlace): Buffer {
  const record = Buffer.allocUnsafe(PLACE_BYTES);
  record.writeUInt8(place.evictLast ? 1 : 0, 0);
  record.writeUIntBE(place.usedAtMs, 1, 6);
  record.set(place.lookup, 7);
  record.writeDoubleLE(place.sizeBytes, 23);
  return record;
}

/** Null where the length is wrong; it has no checksum. */
export function openPlace(record: Uint8Array): EntryPlace | null {
  if (record.length !== PLACE_BYTES) return null;
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
  return {
    evictLast: bytes.readUInt8(0) === 1,
    usedAtMs: bytes.readUIntBE(1, 6),
    lookup: Buffer.from(bytes.subarray(7, 7 + LOOKUP_BYTES)),
    sizeBytes: bytes.readDoubleLE(23),
  };
}

/** Sorts in the order of eviction: by time of use, entries of `evict: last` after all others. */
export function recencyKey(id: string, place: EntryPlace): Buffer {
  const key = Buffer.allocUnsafe(15);
  key.writeUInt8(place.evictLast ? 1 : 0, 0);
  key.writeUIntBE(place.usedAtMs, 1, 6);
  key.write(id, 7, 8, 'hex');
  return key;
}

/** Milliseconds; 0 where the key is damaged. */
export function usedAtOf(recency: Uint8Array): number {
  return recency.length < RECENCY_ID_OFFSET ? 0 : Buffer.from(recency).readUIntBE(1, 6);
}

export const RECENCY_ID_OFFSET = 7;
/** Where the entries of `evict: last` begin. */
export const RECENCY_LAST = Buffer.from([1]);

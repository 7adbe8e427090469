/**
 * The record of an entry: checksum, head in binary form, and content where that is at most `INLINE_BYTES`. A worker seals
 * it, and it is never changed. The checksum covers all of it, and through the content's own checksum in the head also
 * content that is stored in a piece of its own.
 *
 * Numbers are little-endian. Texts are one block behind the list of their lengths, in latin1 where every character has
 * one byte there, else in UTF-16: one call decodes them all.
 */
import { crc32 } from 'node:zlib';
import type { LifetimeSource, StoredMeta } from '../../../policies/model.ts';
import type { EntryHead } from '../entry-head.ts';
import {
  contentKind,
  DIGEST_BYTES,
  digestOf,
  FORMAT_VERSION,
  idOf,
  INLINE_BYTES,
  SMALL_BYTES,
} from './format.ts';

/** Offsets of what has a fixed place. */
const AT = {
  checksum: 0,
  version: 4,
  flags: 5,
  status: 6,
  /** Bytes of the record without content. */
  headBytes: 8,
  textBytes: 12,
  contentChecksum: 16,
  lifetimeSource: 20,
  metaFlags: 21,
  maxVariants: 22,
  counts: 24,
  id: 48,
  digest: 56,
  numbers: 72,
} as const;

const FLAG = { evictLast: 1, possiblyStale: 2, wideText: 4, longTexts: 8 } as const;
const META_FLAG = { noCache: 1, mustRevalidate: 2, lastModifiedStrong: 4, part: 8 } as const;

/** Floor, size, and the numbers of the metadata; NaN stands for null. */
const NUMBERS = 14;
const FIXED_BYTES = AT.numbers + NUMBERS * 8;

const SOURCES: readonly LifetimeSource[] = [
  'targeted',
  's-maxage',
  'max-age',
  'expires',
  'heuristic',
  'default-ttl',
  'fixed',
  'negative-ttl',
  'until-changed',
  'none',
];

/** A length that stands for null. */
const SHORT_NULL = 0xffff;
const LONG_NULL = 0xffff_ffff;

/** A head whose texts are collected, so that the bytes of its record are known. */
export interface Measured {
  readonly head: EntryHead;
  readonly texts: readonly (string | null)[];
  readonly block: string;
  readonly isWide: boolean;
  readonly isLong: boolean;
  /** Of the record without content. */
  readonly headBytes: number;
}

const BEYOND_LATIN1 = /[\u0100-\uffff]/;

export function measure(head: EntryHead): Measured {
  const { meta } = head;
  const texts = [
    head.key,
    head.route,
    head.origin,
    head.url,
    meta.etag,
    ...meta.fields,
    ...meta.vary,
    ...meta.varyValues,
    ...head.tags,
    ...meta.responseTags,
  ];
  let block = '';
  let isLong = false;
  for (const text of texts) {
    if (text === null) continue;
    block += text;
    if (text.length >= SHORT_NULL) isLong = true;
  }
  const isWide = BEYOND_LATIN1.test(block);
  const textBytes = block.length * (isWide ? 2 : 1);
  const headBytes = FIXED_BYTES + head.tagHashes.byteLength + texts.length * (isLong ? 4 : 2) + textBytes;
  return { head, texts, block, isWide, isLong, headBytes };
}

/**
 * Writes an entry at `at`: its record, and behind that content that is stored in a piece of its own. `content`: its
 * pieces in order, together as long as the head's size says; empty for content in chunks, and for an update.
 */
export function seal(
  measured: Measured,
  content: readonly Uint8Array[],
  maxVariants: number,
  target: Buffer,
  at = 0,
): void {
  const { head, texts, block, isWide, isLong, headBytes } = measured;
  const { meta } = head;
  const { part } = meta;
  const kind = contentKind(head.sizeBytes);
  const flags =
    (head.evictLast ? FLAG.evictLast : 0) |
    (head.possiblyStale ? FLAG.possiblyStale : 0) |
    (isWide ? FLAG.wideText : 0) |
    (isLong ? FLAG.longTexts : 0);
  const metaFlags =
    (meta.noCache ? META_FLAG.noCache : 0) |
    (meta.mustRevalidate ? META_FLAG.mustRevalidate : 0) |
    (meta.lastModifiedStrong ? META_FLAG.lastModifiedStrong : 0) |
    (part === null ? 0 : META_FLAG.part);
  const textBytes = block.length * (isWide ? 2 : 1);
  const view = new DataView(target.buffer, target.byteOffset + at, headBytes);
  view.setUint8(AT.version, FORMAT_VERSION);
  view.setUint8(AT.flags, flags);
  view.setUint16(AT.status, meta.status, true);
  view.setUint32(AT.headBytes, headBytes, true);
  view.setUint32(AT.textBytes, textBytes, true);
  view.setUint8(AT.lifetimeSource, SOURCES.indexOf(meta.lifetimeSource));
  view.setUint8(AT.metaFlags, metaFlags);
  view.setUint16(AT.maxVariants, Math.min(maxVariants, 0xffff), true);
  const counts = [
    head.tagHashes.length,
    meta.fields.length,
    meta.vary.length,
    meta.varyValues.length,
    head.tags.length,
    meta.responseTags.length,
  ];
  for (let i = 0; i < counts.length; i += 1) view.setUint32(AT.counts + i * 4, counts[i]!, true);
  target.write(head.id, at + AT.id, 8, 'hex');
  target.set(digestOf(head.key), at + AT.digest);
  const numbers = [
    head.floor,
    head.sizeBytes,
    meta.requestTimeMs,
    meta.responseTimeMs,
    meta.initialAgeSeconds,
    meta.lifetimeSeconds,
    meta.headerLifetimeSeconds,
    meta.dateMs,
    meta.staleWhileRevalidateSeconds,
    meta.staleIfErrorSeconds,
    meta.lastModifiedMs ?? Number.NaN,
    part?.first ?? 0,
    part?.last ?? 0,
    part?.completeBytes ?? Number.NaN,
  ];
  for (let i = 0; i < NUMBERS; i += 1) view.setFloat64(AT.numbers + i * 8, numbers[i]!, true);
  let next = FIXED_BYTES;
  for (const tagHash of head.tagHashes) {
    view.setUint32(next, tagHash, true);
    next += 4;
  }
  for (const text of texts) {
    if (isLong) view.setUint32(next, text?.length ?? LONG_NULL, true);
    else view.setUint16(next, text?.length ?? SHORT_NULL, true);
    next += isLong ? 4 : 2;
  }
  target.write(block, at + next, textBytes, isWide ? 'utf16le' : 'latin1');
  let end = at + headBytes;
  for (const piece of content) {
    target.set(piece, end);
    end += piece.byteLength;
  }
  const separate = kind === 'piece' ? crc32(target.subarray(at + headBytes, end)) : 0;
  view.setUint32(AT.contentChecksum, separate, true);
  const recordEnd = kind === 'inline' ? end : at + headBytes;
  view.setUint32(AT.checksum, crc32(target.subarray(at + AT.version, recordEnd)), true);
}

/** As `seal`, in memory of its own that is as large as the entry. */
export function sealed(
  head: EntryHead,
  content: readonly Uint8Array[],
  maxVariants: number,
): Buffer<ArrayBuffer> {
  const measured = measure(head);
  const contentBytes = content.reduce((sum, piece) => sum + piece.byteLength, 0);
  const target = Buffer.allocUnsafeSlow(measured.headBytes + contentBytes);
  seal(measured, content, maxVariants, target);
  return target;
}

/** What the writer needs of a record, without decoding its texts. */
export interface RecordSummary {
  readonly id: string;
  /** Of the primary key. */
  readonly digest: Buffer;
  readonly floor: number;
  readonly sizeBytes: number;
  readonly evictLast: boolean;
  readonly possiblyStale: boolean;
  /** The most variants that the key may have with this one. */
  readonly maxVariants: number;
  /** Bytes of the record; in a sealed entry, content of its own follows. */
  readonly recordBytes: number;
  readonly contentChecksum: number;
}

/** The summary of a record that is known to be sound. */
export function summaryOf(record: Uint8Array): RecordSummary {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const sizeBytes = bytes.readDoubleLE(AT.numbers + 8);
  const flags = bytes.readUInt8(AT.flags);
  const headBytes = bytes.readUInt32LE(AT.headBytes);
  return {
    id: idOf(bytes, AT.id),
    digest: Buffer.from(bytes.subarray(AT.digest, AT.digest + DIGEST_BYTES)),
    floor: bytes.readDoubleLE(AT.numbers),
    sizeBytes,
    evictLast: (flags & FLAG.evictLast) !== 0,
    possiblyStale: (flags & FLAG.possiblyStale) !== 0,
    maxVariants: bytes.readUInt16LE(AT.maxVariants),
    recordBytes: headBytes + (sizeBytes <= INLINE_BYTES ? sizeBytes : 0),
    contentChecksum: bytes.readUInt32LE(AT.contentChecksum),
  };
}

/** The digest that a record states, which may be damaged; null where the record is too short for one. */
export function claimedDigest(record: Buffer): Buffer | null {
  return record.length < FIXED_BYTES
    ? null
    : Buffer.from(record.subarray(AT.digest, AT.digest + DIGEST_BYTES));
}

/** Sealed entries that lie one behind the other, not copied. */
export function entriesOf(batch: Uint8Array): Buffer[] {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength);
  const entries: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const sizeBytes = bytes.readDoubleLE(at + AT.numbers + 8);
    const end = at + bytes.readUInt32LE(at + AT.headBytes) + (sizeBytes <= SMALL_BYTES ? sizeBytes : 0);
    entries.push(bytes.subarray(at, end));
    at = end;
  }
  return entries;
}

/** Whether the checksum, the version and the lengths are right. */
export function isSound(record: Buffer): boolean {
  if (record.length < FIXED_BYTES) return false;
  if (record.readUInt32LE(AT.checksum) !== crc32(record.subarray(AT.version))) return false;
  return record.readUInt8(AT.version) === FORMAT_VERSION;
}

/** The content within a sound record, not copied; null where it is stored otherwise. */
export function inlineContent(record: Buffer): Buffer | null {
  const sizeBytes = record.readDoubleLE(AT.numbers + 8);
  return sizeBytes <= INLINE_BYTES ? record.subarray(record.readUInt32LE(AT.headBytes)) : null;
}

/** The head of a sound record. */
export function headOf(record: Buffer): EntryHead {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const flags = view.getUint8(AT.flags);
  const metaFlags = view.getUint8(AT.metaFlags);
  const count = (which: number): number => view.getUint32(AT.counts + which * 4, true);
  const number = (which: number): number => view.getFloat64(AT.numbers + which * 8, true);
  const nullable = (which: number): number | null => {
    const value = number(which);
    return Number.isNaN(value) ? null : value;
  };
  const tagHashes = new Uint32Array(count(0));
  let next = FIXED_BYTES;
  for (let i = 0; i < tagHashes.length; i += 1) {
    tagHashes[i] = view.getUint32(next, true);
    next += 4;
  }
  const texts = new TextReader(record, view, next, flags, count);
  const key = texts.text();
  const route = texts.text();
  const origin = texts.text();
  const url = texts.text();
  const etag = texts.next();
  const fields = texts.texts(count(1));
  const vary = texts.texts(count(2));
  const varyValues = texts.list(count(3));
  const tags = texts.texts(count(4));
  const responseTags = texts.texts(count(5));
  const meta: StoredMeta = {
    status: view.getUint16(AT.status, true),
    fields,
    requestTimeMs: number(2),
    responseTimeMs: number(3),
    initialAgeSeconds: number(4),
    lifetimeSeconds: number(5),
    lifetimeSource: SOURCES[view.getUint8(AT.lifetimeSource)]!,
    headerLifetimeSeconds: number(6),
    dateMs: number(7),
    noCache: (metaFlags & META_FLAG.noCache) !== 0,
    mustRevalidate: (metaFlags & META_FLAG.mustRevalidate) !== 0,
    staleWhileRevalidateSeconds: number(8),
    staleIfErrorSeconds: number(9),
    vary,
    varyValues,
    etag,
    lastModifiedMs: nullable(10),
    lastModifiedStrong: (metaFlags & META_FLAG.lastModifiedStrong) !== 0,
    part:
      (metaFlags & META_FLAG.part) === 0
        ? null
        : { first: number(11), last: number(12), completeBytes: nullable(13) },
    responseTags,
  };
  return {
    id: idOf(record, AT.id),
    key,
    route,
    origin,
    url,
    meta,
    tags,
    tagHashes,
    floor: number(0),
    sizeBytes: number(1),
    evictLast: (flags & FLAG.evictLast) !== 0,
    possiblyStale: (flags & FLAG.possiblyStale) !== 0,
  };
}

/** Reads the texts of a sound record in order. */
class TextReader {
  readonly #view: DataView;
  readonly #isLong: boolean;
  readonly #block: string;
  #lengthAt: number;
  #at = 0;

  constructor(
    record: Buffer,
    view: DataView,
    lengthsAt: number,
    flags: number,
    count: (which: number) => number,
  ) {
    this.#view = view;
    this.#lengthAt = lengthsAt;
    this.#isLong = (flags & FLAG.longTexts) !== 0;
    const texts = FIXED_TEXTS + count(1) + count(2) + count(3) + count(4) + count(5);
    const from = lengthsAt + texts * (this.#isLong ? 4 : 2);
    const to = from + view.getUint32(AT.textBytes, true);
    this.#block = record.toString((flags & FLAG.wideText) === 0 ? 'latin1' : 'utf16le', from, to);
  }

  next(): string | null {
    const length = this.#isLong
      ? this.#view.getUint32(this.#lengthAt, true)
      : this.#view.getUint16(this.#lengthAt, true);
    this.#lengthAt += this.#isLong ? 4 : 2;
    if (length === (this.#isLong ? LONG_NULL : SHORT_NULL)) return null;
    const from = this.#at;
    this.#at += length;
    return this.#block.slice(from, this.#at);
  }

  text(): string {
    return this.next() ?? '';
  }

  list(count: number): (string | null)[] {
    const list: (string | null)[] = [];
    for (let i = 0; i < count; i += 1) list.push(this.next());
    return list;
  }

  texts(count: number): string[] {
    const list: string[] = [];
    for (let i = 0; i < count; i += 1) list.push(this.text());
    return list;
  }
}

/** Key, route, origin, URL and ETag. */
const FIXED_TEXTS = 5;

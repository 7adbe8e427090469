/**
 * The row of a primary key: its variants, with what an update changes. It is small and changes in place; the records of
 * the variants do not. The checksum covers the row's key too.
 */
import { crc32 } from 'node:zlib';
import { idOf } from './format.ts';

export interface Variant {
  readonly id: string;
  /** Of the record; a later entry has a higher one. */
  readonly number: number;
  readonly floor: number;
  readonly sizeBytes: number;
  readonly possiblyStale: boolean;
  /** A later head, from an update, lies in the table of updates. */
  readonly isUpdated: boolean;
}

const CHECKSUM_BYTES = 4;
const VARIANT_BYTES = 33;
const FLAG = { possiblyStale: 1, updated: 2 } as const;

export function sealRow(digest: Uint8Array, variants: readonly Variant[]): Buffer {
  const row = Buffer.allocUnsafe(CHECKSUM_BYTES + variants.length * VARIANT_BYTES);
  let at = CHECKSUM_BYTES;
  for (const { id, number, floor, sizeBytes, possiblyStale, isUpdated } of variants) {
    row.write(id, at, 8, 'hex');
    row.writeDoubleLE(number, at + 8);
    row.writeDoubleLE(floor, at + 16);
    row.writeDoubleLE(sizeBytes, at + 24);
    row.writeUInt8((possiblyStale ? FLAG.possiblyStale : 0) | (isUpdated ? FLAG.updated : 0), at + 32);
    at += VARIANT_BYTES;
  }
  row.writeUInt32LE(crc32(row.subarray(CHECKSUM_BYTES), crc32(digest)), 0);
  return row;
}

/** How many variants a row has, by its length alone; 0 where that is wrong. */
export function variantCount(row: Uint8Array): number {
  return Math.max(0, Math.floor((row.byteLength - CHECKSUM_BYTES) / VARIANT_BYTES));
}

/** Null where the checksum or the length is wrong. */
export function openRow(digest: Uint8Array, bytes: Uint8Array): Variant[] | null {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = (row.length - CHECKSUM_BYTES) / VARIANT_BYTES;
  if (row.length < CHECKSUM_BYTES || !Number.isInteger(count)) return null;
  if (row.readUInt32LE(0) !== crc32(row.subarray(CHECKSUM_BYTES), crc32(digest))) return null;
  const variants: Variant[] = [];
  for (let at = CHECKSUM_BYTES; at < row.length; at += VARIANT_BYTES) {
    const flags = row.readUInt8(at + 32);
    variants.push({
      id: idOf(row, at),
      number: row.readDoubleLE(at + 8),
      floor: row.readDoubleLE(at + 16),
      sizeBytes: row.readDoubleLE(at + 24),
      possiblyStale: (flags & FLAG.possiblyStale) !== 0,
      isUpdated: (flags & FLAG.updated) !== 0,
    });
  }
  return variants;
}

import type { FenceOverflow, FenceRecord } from './writer.ts';

/** The fence's records on disk. Each slot has a row, so an overwritten record loses its row as well. */

type Row = { readonly key: Buffer; readonly value: Buffer };

export function recordRow(record: FenceRecord): [Buffer, Buffer] {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(record.slot);
  const value = Buffer.alloc(24);
  value.writeUInt32LE(record.bucketHash, 0);
  value.writeUInt32LE(record.fingerprint, 4);
  value.writeDoubleLE(record.hard, 8);
  value.writeDoubleLE(record.soft, 16);
  return [key, value];
}

export function readRecord({ key, value }: Row): FenceRecord {
  return {
    slot: key.readUInt32BE(0),
    bucketHash: value.readUInt32LE(0),
    fingerprint: value.readUInt32LE(4),
    hard: value.readDoubleLE(8),
    soft: value.readDoubleLE(16),
  };
}

export function overflowRow(overflow: FenceOverflow): [Buffer, Buffer] {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(overflow.bucket);
  const value = Buffer.alloc(16);
  value.writeDoubleLE(overflow.hard, 0);
  value.writeDoubleLE(overflow.soft, 8);
  return [key, value];
}

export function readOverflow({ key, value }: Row): FenceOverflow {
  return { bucket: key.readUInt32BE(0), hard: value.readDoubleLE(0), soft: value.readDoubleLE(8) };
}

/** A safe integer as eight bytes. */
export function wide(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeDoubleLE(value);
  return buffer;
}

export function readNumber(value: Buffer | undefined): number | undefined {
  return value?.readDoubleLE(0);
}

import { bytesOfHashes, hashesOfBytes, type TagHashes } from '../fence/tag-hash.ts';
import type { StateTable } from '../state/state-store.ts';
import { LINE_BYTES, type LineKey } from './line.ts';

/** How holds stand on disk: for each the tags as the fence knows them, and why they are held. */
export type HoldRow = HoldOfLine &
  (
    | { readonly kind: 'waiting' }
    /** The origin is being asked; found at a start, the outcome is unknown. */
    | { readonly kind: 'running'; readonly maxProcessingMs: number }
    | Lingering
  );

export interface HoldOfLine {
  readonly line: LineKey;
  readonly tags: TagHashes;
}

/** A hold that outlasts its write. */
export interface Lingering {
  readonly kind: 'lingering';
  /** By `SteadyTime`. */
  readonly untilMs: number;
  readonly maxMs: number;
  /** An attempt may still be carried out: nothing else of the line is delivered. */
  readonly blocks: boolean;
  /** The number of the delivered write whose content readers are shown meanwhile; 0: none. */
  readonly shown: number;
}

/** Of a write that leaves its line at `nowMs` while an attempt may still be carried out; null: none may. */
export function whileUnknown(
  { unknownUntilMs }: { readonly unknownUntilMs: number },
  nowMs: number,
): Lingering | null {
  const maxMs = unknownUntilMs - nowMs;
  if (maxMs <= 0) return null;
  return { kind: 'lingering', untilMs: unknownUntilMs, maxMs, blocks: true, shown: 0 };
}

const KINDS = ['waiting', 'running', 'lingering'] as const;
const HEAD_BYTES = 2 + 8 + 8 + 8 + LINE_BYTES;

export function writeHoldRow(table: StateTable, key: Buffer, row: HoldRow): void {
  const value = Buffer.alloc(HEAD_BYTES + row.tags.byteLength);
  value[0] = KINDS.indexOf(row.kind);
  if (row.kind === 'lingering') {
    value[1] = Number(row.blocks);
    value.writeDoubleBE(row.untilMs, 2);
    value.writeDoubleBE(row.maxMs, 10);
    value.writeDoubleBE(row.shown, 18);
  } else if (row.kind === 'running') value.writeDoubleBE(row.maxProcessingMs, 10);
  value.write(row.line, 26, 'hex');
  bytesOfHashes(row.tags).copy(value, HEAD_BYTES);
  table.put(key, value);
}

export function readHoldRow(value: Buffer): HoldRow {
  const line = value.toString('hex', 26, HEAD_BYTES);
  const tags = hashesOfBytes(value.subarray(HEAD_BYTES));
  const kind = KINDS[value[0]!];
  switch (kind) {
    case 'waiting':
      return { kind, line, tags };
    case 'running':
      return { kind, line, tags, maxProcessingMs: value.readDoubleBE(10) };
    case 'lingering':
      return {
        kind,
        line,
        tags,
        blocks: value[1] === 1,
        untilMs: value.readDoubleBE(2),
        maxMs: value.readDoubleBE(10),
        shown: value.readDoubleBE(18),
      };
    default:
      throw new Error('a hold of an unknown kind');
  }
}

/** Of a write of the journal. */
export function waitingHoldKey(number: number): Buffer {
  return Buffer.concat([WAITING, numberKey(number)]);
}

/** Of any other hold; `id` unique over all runs. */
export function otherHoldKey(id: number): Buffer {
  return Buffer.concat([OTHER, numberKey(id)]);
}

/** In the order of numbers. */
export function numberKey(number: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(BigInt(number));
  return key;
}

const OTHER = Buffer.from('h');
const WAITING = Buffer.from('w');
export const OTHER_HOLDS = { from: OTHER, to: Buffer.from('i') };

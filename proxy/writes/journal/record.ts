import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Fields } from '../../../policies/http/fields.ts';
import type { OrderQueueId } from './order-queues.ts';

/** A write of the journal, without its content. */
export interface WriteRecord {
  /** Its name for clients and operators. */
  readonly id: string;
  readonly state: 'waiting' | 'dead' | 'uncertain' | 'done';
  readonly origin: string;
  readonly route: string;
  readonly method: string;
  /** Path and query, normalised. */
  readonly target: string;
  /** Of the client's request, as Weir understands it. */
  readonly authority: string;
  readonly scheme: string;
  /** The fields that the origin is sent, Idempotency-Key included. */
  readonly fields: Fields;
  /** The value of that field. */
  readonly idempotencyKey: string;
  /** The client's own key as `scopedIdempotencyKey` has it; null: it gave none. */
  readonly clientKey: string | null;
  readonly queue: OrderQueueId;
  /** The tags that are held until its outcome is known. */
  readonly tags: readonly string[];
  /** Its place in the queue: its number, or a later one after an operator retried it behind others. */
  readonly order: number;
  /** Null: the request has no content. */
  readonly content: { readonly bytes: number; readonly crc: number } | null;
  /** Its share of `journal.size`. */
  readonly bytes: number;
  /** Whether the next write of the queue may replace it before its first attempt. */
  readonly merges: boolean;
  /** Wall clock. */
  readonly acceptedAtMs: number;
  /** When it is due once it is the first of its queue, by `DurableClock`. */
  readonly dueAtMs: number;
  readonly attempts: number;
  /** An attempt is under way. Found at a start, its outcome is unknown. */
  readonly isAttempting: boolean;
  /** An earlier attempt may have been carried out. */
  readonly wasUncertain: boolean;
  /** Until when an attempt may still be carried out, by `DurableClock`; 0: none may. */
  readonly unknownUntilMs: number;
  readonly lastError: string | null;
  /** Of the origin's response when it was delivered or given up; null: there was none, or it is not known. */
  readonly status: number | null;
  /** When it was delivered or given up, by the wall clock. */
  readonly endedAtMs: number | null;
  /** The id of the write that replaced it before it was sent; null: none did. */
  readonly mergedInto: string | null;
}

/** A record as it was read; `damaged`: its checksum is wrong. */
export type ReadRecord =
  { readonly kind: 'record'; readonly record: WriteRecord } | { readonly kind: 'damaged' };

/** The id of a write begins with its number, by which it is found. */
export function newWriteId(number: number): string {
  return `${number.toString(36)}-${randomBytes(ID_BYTES).toString('hex')}`;
}

/** The id of a write whose record, and with it its own id, can't be read. */
export function unreadableId(number: number): string {
  return `${number.toString(36)}-${'0'.repeat(2 * ID_BYTES)}`;
}

/** The number in a write's id; null: the text is no such id. */
export function numberOf(id: string): number | null {
  const text = /^([0-9a-z]{1,10})-[0-9a-f]{16}$/.exec(id)?.[1];
  return text === undefined ? null : Number.parseInt(text, 36);
}

/** The `lastError` of a write whose record can't be read. */
export const UNREADABLE = 'its record is damaged on disk: it is not sent, and can only be discarded';

const ID_BYTES = 8;

/** The record on disk, whose names stay when those in the code change. Earlier versions wrote no `status`. */
type StoredRecord = Omit<WriteRecord, 'queue' | 'status'> & {
  readonly line: OrderQueueId;
  readonly status?: number | null;
};

export function encodeRecord({ queue, ...rest }: WriteRecord): Buffer {
  const stored: StoredRecord = { ...rest, line: queue };
  const json = Buffer.from(JSON.stringify(stored));
  const value = Buffer.allocUnsafe(json.length + 4);
  value.writeUInt32LE(crc32(json), 0);
  json.copy(value, 4);
  return value;
}

export function decodeRecord(value: Buffer): ReadRecord {
  const json = value.subarray(4);
  if (value.length < 4 || crc32(json) !== value.readUInt32LE(0)) return { kind: 'damaged' };
  const { line, status = null, ...rest } = JSON.parse(json.toString()) as StoredRecord;
  return { kind: 'record', record: { ...rest, status, queue: line } };
}

/** The origin's response to a write. */
export interface OriginResponse {
  readonly status: number;
  /** End-to-end. */
  readonly fields: Fields;
  readonly content: Uint8Array;
}

/** A checksum, the length of the head, the head as JSON, and the content. */
export function encodeResponse({ status, fields, content }: OriginResponse): Buffer {
  const head = Buffer.from(JSON.stringify({ status, fields }));
  const value = Buffer.alloc(RESPONSE_HEAD_AT + head.length + content.byteLength);
  value.writeUInt32LE(head.length, 4);
  head.copy(value, RESPONSE_HEAD_AT);
  value.set(content, RESPONSE_HEAD_AT + head.length);
  value.writeUInt32LE(crc32(value.subarray(4)), 0);
  return value;
}

/** Null: it is damaged. */
export function decodeResponse(value: Buffer): OriginResponse | null {
  if (value.length < RESPONSE_HEAD_AT || crc32(value.subarray(4)) !== value.readUInt32LE(0)) return null;
  const contentAt = RESPONSE_HEAD_AT + value.readUInt32LE(4);
  const head = JSON.parse(value.toString('utf8', RESPONSE_HEAD_AT, contentAt)) as Omit<
    OriginResponse,
    'content'
  >;
  return { ...head, content: new Uint8Array(value.subarray(contentAt)) };
}

const RESPONSE_HEAD_AT = 8;

export function contentOf(body: Uint8Array | null): WriteRecord['content'] {
  return body === null ? null : { bytes: body.byteLength, crc: crc32(body) };
}

export function isWhole(content: WriteRecord['content'], body: Buffer | undefined): boolean {
  if (content === null) return true;
  return body !== undefined && body.length === content.bytes && crc32(body) === content.crc;
}

export const PREFIX_BYTES = 8;

/** Begins the keys of due writes, so that those of one origin lie together. */
export function originPrefix(origin: string): Buffer {
  return hash('sha256', origin, 'buffer').subarray(0, PREFIX_BYTES);
}

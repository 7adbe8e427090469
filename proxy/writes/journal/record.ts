import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Fields } from '../../../policies/http/fields.ts';
import type { OrderQueueId } from './order-queues.ts';

/** A write of the journal, without its content. */
export interface WriteRecord {
  /** The write's name for clients and operators. */
  readonly id: string;
  readonly state: 'waiting' | 'dead' | 'uncertain' | 'done';
  readonly origin: string;
  readonly route: string;
  readonly method: string;
  /** Path and query, normalised. */
  readonly target: string;
  /** The authority of the client's request, as Weir parsed it. */
  readonly authority: string;
  readonly scheme: string;
  /** The request's fields as Weir sends them, Idempotency-Key included. */
  readonly fields: Fields;
  /** The value of Idempotency-Key in `fields`. */
  readonly idempotencyKey: string;
  /** The client's key as `scopedIdempotencyKey` returns it; null: the client sent none. */
  readonly clientKey: string | null;
  readonly queue: OrderQueueId;
  /** The tags that are held until the outcome is known. */
  readonly tags: readonly string[];
  /** The place in the queue: the write's number, or a later one if an operator retried it behind others. */
  readonly order: number;
  /** Null: the request has no content. */
  readonly content: { readonly bytes: number; readonly crc: number } | null;
  /** The bytes that count towards `journal.size`. */
  readonly bytes: number;
  /** Whether the next write of the queue may replace it before its first attempt. */
  readonly merges: boolean;
  /** By the wall clock. */
  readonly acceptedAtMs: number;
  /** When the write is due, once it is the first of its queue; by `DurableClock`. */
  readonly dueAtMs: number;
  readonly attempts: number;
  /** An attempt is under way. If a start finds this, the outcome of the attempt is unknown. */
  readonly isAttempting: boolean;
  /** The origin may have processed an earlier attempt. */
  readonly wasUncertain: boolean;
  /** Until when the origin may still process an attempt, by `DurableClock`; 0: it can't. */
  readonly unknownUntilMs: number;
  readonly lastError: string | null;
  /** The status of the origin's last response; null: there was none, or it is unknown. */
  readonly status: number | null;
  /** When the write was delivered or given up, by the wall clock; null: neither happened. */
  readonly endedAtMs: number | null;
  /** The id of the write that replaced this one before it was sent; null: none did. */
  readonly mergedInto: string | null;
}

/** The result of reading a record; `damaged`: its checksum is wrong. */
export type ReadRecord =
  { readonly kind: 'record'; readonly record: WriteRecord } | { readonly kind: 'damaged' };

/** A new id. It begins with the write's number, by which the record is found. */
export function newWriteId(number: number): string {
  return `${number.toString(36)}-${randomBytes(ID_BYTES).toString('hex')}`;
}

/** The id under which a write is shown whose record, and therefore real id, can't be read. */
export function unreadableId(number: number): string {
  return `${number.toString(36)}-${'0'.repeat(2 * ID_BYTES)}`;
}

/** The number in a write's id; null: the text is not an id. */
export function numberOf(id: string): number | null {
  const text = /^([0-9a-z]{1,10})-[0-9a-f]{16}$/.exec(id)?.[1];
  return text === undefined ? null : Number.parseInt(text, 36);
}

/** The `lastError` of a write whose record can't be read. */
export const UNREADABLE = 'the record is damaged on disk: the write is not sent and can only be discarded';

const ID_BYTES = 8;

/** The record on disk. Its property names stay when those in the code change. Earlier versions wrote no `status`. */
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
  /** The end-to-end fields. */
  readonly fields: Fields;
  readonly content: Uint8Array;
}

/** The encoding: a checksum, the length of the head, the head as JSON, the content. */
export function encodeResponse({ status, fields, content }: OriginResponse): Buffer {
  const head = Buffer.from(JSON.stringify({ status, fields }));
  const value = Buffer.alloc(RESPONSE_HEAD_AT + head.length + content.byteLength);
  value.writeUInt32LE(head.length, 4);
  head.copy(value, RESPONSE_HEAD_AT);
  value.set(content, RESPONSE_HEAD_AT + head.length);
  value.writeUInt32LE(crc32(value.subarray(4)), 0);
  return value;
}

/** Null: the stored response is damaged. */
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

/** The prefix of the keys of an origin's due writes, which groups them. */
export function originPrefix(origin: string): Buffer {
  return hash('sha256', origin, 'buffer').subarray(0, PREFIX_BYTES);
}

import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Fields } from '../../../policies/http/fields.ts';
import type { OrderQueueId } from './order-queues.ts';

/** A write as the journal keeps it, beside its content. */
export interface WriteRecord {
  /** Names it to clients and operators. */
  readonly id: string;
  readonly state: 'waiting' | 'dead' | 'uncertain' | 'done';
  readonly origin: string;
  readonly route: string;
  readonly method: string;
  /** Path and query, normalised. */
  readonly target: string;
  /** Effective, of the client's request. */
  readonly authority: string;
  readonly scheme: string;
  /** What the origin is sent, Idempotency-Key included. */
  readonly fields: Fields;
  /** As it stands in the field. */
  readonly idempotencyKey: string;
  /** Under which the client's own key is remembered; null: it gave none. */
  readonly clientKey: string | null;
  readonly queue: OrderQueueId;
  /** What is held until its outcome is known. */
  readonly tags: readonly string[];
  /** Its place in the queue; another one after it was retried behind others. */
  readonly order: number;
  /** Null: the request has no content. */
  readonly content: { readonly bytes: number; readonly crc: number } | null;
  /** The room that it is counted with. */
  readonly bytes: number;
  /** Whether one that was not attempted yet may be merged with the next. */
  readonly merges: boolean;
  /** Wall clock. */
  readonly acceptedAtMs: number;
  /** When it is to be sent next, once it is the first of its queue; by `SteadyTime`. */
  readonly dueAtMs: number;
  readonly attempts: number;
  /** An attempt is under way; found at a start, its outcome is unknown. */
  readonly isAttempting: boolean;
  /** An attempt may have been carried out. */
  readonly wasUncertain: boolean;
  /** Until then an attempt may still be carried out, by `SteadyTime`; 0: none. */
  readonly unknownUntilMs: number;
  readonly lastError: string | null;
  /** Of the origin's response with which it was delivered or given up; null: there was none, or it is not known. */
  readonly status: number | null;
  /** When it was delivered or given up, by the wall clock. */
  readonly endedAtMs: number | null;
  /** The one that took its place before it was sent. */
  readonly mergedInto: string | null;
}

/** A record, or what was found in its place: torn by a crash, or not of this version. */
export type ReadRecord =
  { readonly kind: 'record'; readonly record: WriteRecord } | { readonly kind: 'damaged' };

/** Names a write; begins with its number. */
export function newWriteId(number: number): string {
  return `${number.toString(36)}-${randomBytes(ID_BYTES).toString('hex')}`;
}

/** Of one whose own can't be read. */
export function unreadableId(number: number): string {
  return `${number.toString(36)}-${'0'.repeat(2 * ID_BYTES)}`;
}

/** Null: it is no write's id. */
export function numberOf(id: string): number | null {
  const text = /^([0-9a-z]{1,10})-[0-9a-f]{16}$/.exec(id)?.[1];
  return text === undefined ? null : Number.parseInt(text, 36);
}

/** What operators are told of such a write. */
export const UNREADABLE = 'its record is damaged on disk: it is not sent, and can only be discarded';

const ID_BYTES = 8;

/** The record on disk, whose names outlast those in the code; those of earlier versions have no `status`. */
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

/** What the origin said to a write. */
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

/** Writes of an origin that are due lie together. */
export function originPrefix(origin: string): Buffer {
  return hash('sha256', origin, 'buffer').subarray(0, PREFIX_BYTES);
}

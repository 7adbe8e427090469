import type { StateStore, StateTable } from '../../state/state-store.ts';
import { QUEUE_ID_BYTES, type OrderQueueId } from './order-queues.ts';
import {
  decodeRecord,
  decodeResponse,
  encodeRecord,
  encodeResponse,
  originPrefix,
  PREFIX_BYTES,
  type OriginResponse,
  type ReadRecord,
  type WriteRecord,
} from './record.ts';

/** The part of the journal that contains a write's record. The record's key on disk begins with its first letter. */
export type JournalSection = 'waiting' | 'dead' | 'done';
const SECTION_KEYS: Readonly<Record<JournalSection, string>> = { waiting: 'w', dead: 'x', done: 'z' };
export const SECTIONS: readonly JournalSection[] = ['dead', 'waiting', 'done'];

export function isJournalSection(text: string): text is JournalSection {
  return Object.hasOwn(SECTION_KEYS, text);
}

/** Valid values for the number of writes in one admin list: 1 to 9,999. */
export const LIST_LIMIT = /^[1-9]\d{0,3}$/;

/** The key prefix of rows with the numbers of done writes, in the order in which they were done. */
const ENDED = 'y';

export interface Numbered {
  readonly number: number;
  readonly record: ReadRecord;
}

/** The place of a write in its queue. */
export interface QueueRow {
  readonly order: number;
  readonly number: number;
  /** The write was given up and stops the queue. */
  readonly isDead: boolean;
}

export interface DueRow {
  /** `originPrefix` of its origin. */
  readonly prefix: Buffer;
  readonly number: number;
  readonly order: number;
  readonly queue: OrderQueueId;
  readonly dueAtMs: number;
}

/** The counts, written in the same transactions as the rows that they count. */
export interface JournalCounts {
  /** The number of the last accepted write or retried place. */
  readonly last: number;
  readonly waiting: number;
  readonly dead: number;
  readonly done: number;
  /** The bytes of waiting and dead writes. */
  readonly bytes: number;
  /** The bytes of the responses that are kept for repetitions. */
  readonly responseBytes: number;
}

const LAST_KEY = Buffer.alloc(8, 0xff);
const FIRST_KEY = Buffer.alloc(8);

/** The journal's rows. Reads return committed rows, and within a change also the rows that it has changed. */
export class JournalTables {
  readonly #writes: StateTable;
  readonly #bodies: StateTable;
  readonly #queues: StateTable;
  readonly #dues: StateTable;
  readonly #keys: StateTable;
  readonly #responses: StateTable;
  readonly #meta: StateTable;

  constructor(state: StateStore) {
    this.#writes = state.table('writes');
    this.#bodies = state.table('write-bodies');
    this.#queues = state.table('write-lines');
    this.#dues = state.table('write-dues');
    this.#keys = state.table('write-keys');
    this.#responses = state.table('write-responses');
    this.#meta = state.table('meta');
  }

  record(section: JournalSection, number: number): ReadRecord | null {
    const value = this.#writes.get(recordKey(section, number));
    return value === undefined ? null : decodeRecord(value);
  }

  putRecord(section: JournalSection, number: number, record: WriteRecord): void {
    this.#writes.put(recordKey(section, number), encodeRecord(record));
  }

  /** Moves the row byte for byte, so that unreadable rows can be moved too. */
  moveRecord(from: JournalSection, to: JournalSection, number: number): void {
    const value = this.#writes.get(recordKey(from, number));
    this.removeRecord(from, number);
    if (value !== undefined) this.#writes.put(recordKey(to, number), value);
  }

  removeRecord(section: JournalSection, number: number): void {
    this.#writes.remove(recordKey(section, number));
  }

  *records(section: JournalSection, after: number, limit: number): Iterable<Numbered> {
    const range = { from: recordKey(section, after + 1), to: sectionEnd(section), limit };
    for (const { key, value } of this.#writes.range(range)) {
      yield { number: Number(key.readBigUInt64BE(1)), record: decodeRecord(value) };
    }
  }

  /** Up to `limit` done writes, in the order in which they were done. */
  *ended(limit: number): Iterable<{ readonly place: number; readonly number: number }> {
    const range = { from: rowKey(ENDED, FIRST_KEY), to: rowKey(ENDED, LAST_KEY), limit };
    for (const { key, value } of this.#writes.range(range)) {
      yield { place: Number(key.readBigUInt64BE(1)), number: Number(value.readBigUInt64BE(0)) };
    }
  }

  putEnded(number: number): void {
    const range = { from: rowKey(ENDED, LAST_KEY), to: rowKey(ENDED, FIRST_KEY), limit: 1, backwards: true };
    const [last] = this.#writes.range(range);
    const place = last === undefined ? 1 : Number(last.key.readBigUInt64BE(1)) + 1;
    this.#writes.put(rowKey(ENDED, numberKey(place)), numberKey(number));
  }

  removeEnded(place: number): void {
    this.#writes.remove(rowKey(ENDED, numberKey(place)));
  }

  body(number: number): Buffer | undefined {
    return this.#bodies.get(numberKey(number));
  }

  putBody(number: number, body: Uint8Array): void {
    this.#bodies.put(numberKey(number), Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  }

  removeBody(number: number): void {
    this.#bodies.remove(numberKey(number));
  }

  first(queue: OrderQueueId): QueueRow | null {
    const from = queueKey(queue, FIRST_KEY);
    for (const row of this.#queues.range({ from, to: queueKey(queue, LAST_KEY), limit: 1 }))
      return queueRow(row);
    return null;
  }

  last(queue: OrderQueueId): QueueRow | null {
    const from = queueKey(queue, LAST_KEY);
    const range = { from, to: queueKey(queue, FIRST_KEY), limit: 1, backwards: true };
    for (const row of this.#queues.range(range)) return queueRow(row);
    return null;
  }

  /** Whether a write stands at this place in the queue. */
  isQueued(queue: OrderQueueId, order: number): boolean {
    return this.#queues.get(queueKey(queue, numberKey(order))) !== undefined;
  }

  hasWaiting(queue: OrderQueueId): boolean {
    const from = queueKey(queue, FIRST_KEY);
    for (const row of this.#queues.range({ from, to: queueKey(queue, LAST_KEY) })) {
      if (!queueRow(row).isDead) return true;
    }
    return false;
  }

  putQueued(queue: OrderQueueId, { order, number, isDead }: QueueRow): void {
    const value = Buffer.concat([Buffer.of(Number(isDead)), numberKey(number)]);
    this.#queues.put(queueKey(queue, numberKey(order)), value);
  }

  removeQueued(queue: OrderQueueId, order: number): void {
    this.#queues.remove(queueKey(queue, numberKey(order)));
  }

  putDue(number: number, { origin, dueAtMs, order, queue }: WriteRecord): void {
    const value = Buffer.concat([numberKey(number), Buffer.from(queue, 'hex')]);
    this.#dues.put(dueKey(originPrefix(origin), dueAtMs, order), value);
  }

  removeDue({ origin, dueAtMs, order }: WriteRecord): void {
    this.removeDueRow({ prefix: originPrefix(origin), dueAtMs, order });
  }

  removeDueRow({ prefix, dueAtMs, order }: Pick<DueRow, 'prefix' | 'dueAtMs' | 'order'>): void {
    this.#dues.remove(dueKey(prefix, dueAtMs, order));
  }

  /** The first write of each queue of the origin, earliest due first. Starts after `after`; null: at the beginning. */
  *dues(origin: string, after: DueRow | null): Iterable<DueRow> {
    const prefix = originPrefix(origin);
    const from =
      after === null
        ? prefix
        : Buffer.concat([dueKey(after.prefix, after.dueAtMs, after.order), Buffer.alloc(1)]);
    const range = { from, to: Buffer.concat([prefix, Buffer.alloc(17, 0xff)]) };
    for (const row of this.#dues.range(range)) yield dueRow(row);
  }

  /** One due write of each origin that has any. */
  *origins(): Iterable<DueRow> {
    let from: Buffer = Buffer.alloc(0);
    for (;;) {
      const [row] = this.#dues.range({ from, limit: 1 });
      if (row === undefined) return;
      from = Buffer.concat([row.key.subarray(0, PREFIX_BYTES), Buffer.alloc(17, 0xff)]);
      yield dueRow(row);
    }
  }

  /** The write that was accepted with this scoped Idempotency-Key; null: none is known. */
  keyed(key: string): KeyedWrite | null {
    const value = this.#keys.get(key);
    return value === undefined ? null : (JSON.parse(value.toString()) as KeyedWrite);
  }

  putKeyed(key: string, write: KeyedWrite): void {
    this.#keys.put(key, Buffer.from(JSON.stringify(write)));
  }

  removeKeyed(key: string): void {
    this.#keys.remove(key);
  }

  /** The origin's response to a finished write; null: it was not kept, or is damaged. */
  response(number: number): OriginResponse | null {
    const value = this.#responses.get(numberKey(number));
    return value === undefined ? null : decodeResponse(value);
  }

  /** Within a change. */
  putResponse(number: number, response: OriginResponse): void {
    this.removeResponse(number);
    const value = encodeResponse(response);
    this.#responses.put(numberKey(number), value);
    this.count({ responseBytes: value.length });
  }

  /** Within a change. */
  removeResponse(number: number): void {
    const value = this.#responses.get(numberKey(number));
    if (value === undefined) return;
    this.#responses.remove(numberKey(number));
    this.count({ responseBytes: -value.length });
  }

  /** The lowest number of a write whose response is kept; null: none is kept. */
  firstResponse(): number | null {
    for (const { key } of this.#responses.range({ limit: 1 })) return Number(key.readBigUInt64BE(0));
    return null;
  }

  counts(): JournalCounts {
    const value = this.#meta.get(COUNTS);
    const counts = value === undefined ? {} : (JSON.parse(value.toString()) as Partial<JournalCounts>);
    // Earlier versions write no `responseBytes`, also if one runs after this version.
    const responseBytes = counts.responseBytes ?? this.#sumOfResponses();
    return { last: 0, waiting: 0, dead: 0, done: 0, bytes: 0, ...counts, responseBytes };
  }

  /** Within a change. */
  nextNumber(): number {
    const counts = this.counts();
    const last = counts.last + 1;
    this.#putCounts({ ...counts, last });
    return last;
  }

  count(by: Partial<Record<'waiting' | 'dead' | 'done' | 'bytes' | 'responseBytes', number>>): void {
    const counts = this.counts();
    const waiting = counts.waiting + (by.waiting ?? 0);
    const dead = counts.dead + (by.dead ?? 0);
    const bytes = Math.max(0, counts.bytes + (by.bytes ?? 0));
    this.#putCounts({
      last: counts.last,
      waiting,
      dead,
      done: counts.done + (by.done ?? 0),
      // The size of an unreadable record is unknown, so its bytes are not subtracted when it is removed.
      bytes: waiting + dead === 0 ? 0 : bytes,
      responseBytes: counts.responseBytes + (by.responseBytes ?? 0),
    });
  }

  #sumOfResponses(): number {
    let bytes = 0;
    for (const { value } of this.#responses.range()) bytes += value.length;
    return bytes;
  }

  #putCounts(counts: JournalCounts): void {
    this.#meta.put(COUNTS, Buffer.from(JSON.stringify(counts)));
  }
}

export interface KeyedWrite {
  readonly number: number;
  readonly id: string;
  readonly digest: string;
}

const COUNTS = 'journal';

/** A key that sorts in the order of the numbers. */
export function numberKey(number: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(BigInt(number));
  return key;
}

function recordKey(section: JournalSection, number: number): Buffer {
  return rowKey(SECTION_KEYS[section], numberKey(number));
}

function sectionEnd(section: JournalSection): Buffer {
  return rowKey(SECTION_KEYS[section], LAST_KEY);
}

function rowKey(kind: string, key: Buffer): Buffer {
  return Buffer.concat([Buffer.from(kind), key]);
}

function queueKey(queue: OrderQueueId, order: Buffer): Buffer {
  return Buffer.concat([Buffer.from(queue, 'hex'), order]);
}

function queueRow({ key, value }: { readonly key: Buffer; readonly value: Buffer }): QueueRow {
  return {
    order: Number(key.readBigUInt64BE(QUEUE_ID_BYTES)),
    number: Number(value.readBigUInt64BE(1)),
    isDead: value[0] === 1,
  };
}

function dueKey(prefix: Buffer, dueAtMs: number, order: number): Buffer {
  return Buffer.concat([prefix, numberKey(Math.max(0, Math.round(dueAtMs))), numberKey(order)]);
}

function dueRow({ key, value }: { readonly key: Buffer; readonly value: Buffer }): DueRow {
  return {
    prefix: key.subarray(0, PREFIX_BYTES),
    dueAtMs: Number(key.readBigUInt64BE(PREFIX_BYTES)),
    order: Number(key.readBigUInt64BE(PREFIX_BYTES + 8)),
    number: Number(value.readBigUInt64BE(0)),
    queue: value.toString('hex', 8, 8 + QUEUE_ID_BYTES),
  };
}

import type { StateStore, StateTable } from '../state/state-store.ts';
import { numberKey } from './hold-rows.ts';
import { LINE_BYTES, type LineKey } from './line.ts';
import { decodeRecord, encodeRecord, originPrefix, type ReadRecord, type WriteRecord } from './record.ts';

/** How far a write has come, as the first byte of its record's key. */
export type Shelf = 'waiting' | 'dead' | 'done';
const SHELVES: Readonly<Record<Shelf, string>> = { waiting: 'w', dead: 'x', done: 'z' };

export interface Numbered {
  readonly number: number;
  readonly record: ReadRecord;
}

/** A write in its line. */
export interface LineRow {
  readonly order: number;
  readonly number: number;
  /** Given up, and nothing behind it is delivered. */
  readonly isDead: boolean;
}

export interface DueRow {
  readonly number: number;
  readonly order: number;
  readonly line: LineKey;
  readonly dueAtMs: number;
}

/** Kept in the same transactions as what they count. */
export interface JournalCounts {
  /** The last number given. */
  readonly last: number;
  readonly waiting: number;
  readonly dead: number;
  readonly done: number;
  /** Of records and content that wait or are dead. */
  readonly bytes: number;
}

const LAST_KEY = Buffer.alloc(8, 0xff);
const FIRST_KEY = Buffer.alloc(8);

/** The journal's rows: what is asked for is read as it was committed, or, within a change, as it has become. */
export class JournalTables {
  readonly #writes: StateTable;
  readonly #bodies: StateTable;
  readonly #lines: StateTable;
  readonly #dues: StateTable;
  readonly #keys: StateTable;
  readonly #meta: StateTable;

  constructor(state: StateStore) {
    this.#writes = state.table('writes');
    this.#bodies = state.table('write-bodies');
    this.#lines = state.table('write-lines');
    this.#dues = state.table('write-dues');
    this.#keys = state.table('write-keys');
    this.#meta = state.table('meta');
  }

  record(shelf: Shelf, number: number): ReadRecord | null {
    const value = this.#writes.get(recordKey(shelf, number));
    return value === undefined ? null : decodeRecord(value);
  }

  putRecord(shelf: Shelf, number: number, record: WriteRecord): void {
    this.#writes.put(recordKey(shelf, number), encodeRecord(record));
  }

  removeRecord(shelf: Shelf, number: number): void {
    this.#writes.remove(recordKey(shelf, number));
  }

  *records(shelf: Shelf, after: number, limit: number): Iterable<Numbered> {
    const range = { from: recordKey(shelf, after + 1), to: shelfEnd(shelf), limit };
    for (const { key, value } of this.#writes.range(range)) {
      yield { number: Number(key.readBigUInt64BE(1)), record: decodeRecord(value) };
    }
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

  first(line: LineKey): LineRow | null {
    const from = lineKey(line, FIRST_KEY);
    for (const row of this.#lines.range({ from, to: lineKey(line, LAST_KEY), limit: 1 })) return lineRow(row);
    return null;
  }

  last(line: LineKey): LineRow | null {
    const from = lineKey(line, LAST_KEY);
    const range = { from, to: lineKey(line, FIRST_KEY), limit: 1, backwards: true };
    for (const row of this.#lines.range(range)) return lineRow(row);
    return null;
  }

  hasWaiting(line: LineKey): boolean {
    const from = lineKey(line, FIRST_KEY);
    for (const row of this.#lines.range({ from, to: lineKey(line, LAST_KEY) })) {
      if (!lineRow(row).isDead) return true;
    }
    return false;
  }

  putLine(line: LineKey, { order, number, isDead }: LineRow): void {
    const value = Buffer.concat([Buffer.of(Number(isDead)), numberKey(number)]);
    this.#lines.put(lineKey(line, numberKey(order)), value);
  }

  removeLine(line: LineKey, order: number): void {
    this.#lines.remove(lineKey(line, numberKey(order)));
  }

  putDue(number: number, { origin, dueAtMs, order, line }: WriteRecord): void {
    const value = Buffer.concat([numberKey(number), Buffer.from(line, 'hex')]);
    this.#dues.put(dueKey(origin, dueAtMs, order), value);
  }

  removeDue({ origin, dueAtMs, order }: WriteRecord): void {
    this.#dues.remove(dueKey(origin, dueAtMs, order));
  }

  /** The first of each line, the earliest due first. */
  *dues(origin: string): Iterable<DueRow> {
    const prefix = originPrefix(origin);
    const range = { from: prefix, to: Buffer.concat([prefix, Buffer.alloc(17, 0xff)]) };
    for (const { key, value } of this.#dues.range(range)) {
      yield {
        dueAtMs: Number(key.readBigUInt64BE(8)),
        order: Number(key.readBigUInt64BE(16)),
        number: Number(value.readBigUInt64BE(0)),
        line: value.toString('hex', 8, 8 + LINE_BYTES),
      };
    }
  }

  /** One due write of each origin for which any is. */
  *origins(): Iterable<{ readonly number: number }> {
    let from: Buffer = Buffer.alloc(0);
    for (;;) {
      let found: { readonly number: number } | null = null;
      for (const { key, value } of this.#dues.range({ from, limit: 1 })) {
        found = { number: Number(value.readBigUInt64BE(0)) };
        from = Buffer.concat([key.subarray(0, 8), Buffer.alloc(17, 0xff)]);
      }
      if (found === null) return;
      yield found;
    }
  }

  /** Which write a client's Idempotency-Key stands for; null: none that is known. */
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

  counts(): JournalCounts {
    const value = this.#meta.get(COUNTS);
    return value === undefined
      ? { last: 0, waiting: 0, dead: 0, done: 0, bytes: 0 }
      : (JSON.parse(value.toString()) as JournalCounts);
  }

  putCounts(counts: JournalCounts): void {
    this.#meta.put(COUNTS, Buffer.from(JSON.stringify(counts)));
  }
}

export interface KeyedWrite {
  readonly number: number;
  readonly id: string;
  readonly digest: string;
}

const COUNTS = 'journal';

function recordKey(shelf: Shelf, number: number): Buffer {
  return Buffer.concat([Buffer.from(SHELVES[shelf]), numberKey(number)]);
}

function shelfEnd(shelf: Shelf): Buffer {
  return Buffer.concat([Buffer.from(SHELVES[shelf]), LAST_KEY]);
}

function lineKey(line: LineKey, order: Buffer): Buffer {
  return Buffer.concat([Buffer.from(line, 'hex'), order]);
}

function lineRow({ key, value }: { readonly key: Buffer; readonly value: Buffer }): LineRow {
  return {
    order: Number(key.readBigUInt64BE(LINE_BYTES)),
    number: Number(value.readBigUInt64BE(1)),
    isDead: value[0] === 1,
  };
}

function dueKey(origin: string, dueAtMs: number, order: number): Buffer {
  return Buffer.concat([originPrefix(origin), numberKey(Math.max(0, Math.round(dueAtMs))), numberKey(order)]);
}

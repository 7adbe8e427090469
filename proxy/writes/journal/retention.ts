import { repeatedResponseFields } from '../../../policies/writes.ts';
import type { OriginResponse, WriteRecord } from './record.ts';
import type { JournalTables } from './tables.ts';

export interface RetentionLimits {
  /** Delivered and merged writes. */
  readonly done: number;
  /** Of the origin's responses to writes that bear a client's Idempotency-Key. */
  readonly responsesBytes: number;
}

/** Delivered writes that are forgotten with each that is delivered, at most. */
const FORGOTTEN_AT_ONCE = 4;
/** Responses that are forgotten with each that is kept, at most, where the limit was lowered. */
const RESPONSES_FORGOTTEN_AT_ONCE = 64;

/** What is kept of writes that are over: their records, and the responses that repetitions of them get. */
export class Retention {
  readonly #tables: JournalTables;
  readonly #limits: () => RetentionLimits;

  constructor(tables: JournalTables, limits: () => RetentionLimits) {
    this.#tables = tables;
    this.#limits = limits;
  }

  /** Within a change: it was delivered or merged. */
  put(number: number, record: WriteRecord): void {
    this.#tables.putRecord('done', number, record);
    this.#tables.putEnded(number);
    this.#tables.count({ done: 1 });
    this.#forget();
  }

  /** Within a change: only a write with a client's key can be repeated. */
  putResponse(number: number, record: WriteRecord, response: OriginResponse | null): void {
    if (record.clientKey === null || response === null) return;
    if (response.content.byteLength > this.#limits().responsesBytes) return;
    const tables = this.#tables;
    tables.putResponse(number, { ...response, fields: repeatedResponseFields(response.fields) });
    for (let i = 0; i < RESPONSES_FORGOTTEN_AT_ONCE; i += 1) {
      if (tables.counts().responseBytes <= this.#limits().responsesBytes) return;
      tables.removeResponse(tables.firstResponse()!);
    }
  }

  #forget(): void {
    const tables = this.#tables;
    const surplus = tables.counts().done - this.#limits().done;
    if (surplus <= 0) return;
    // Taken out of the cursor before anything is removed under it.
    for (const { place, number } of Array.from(tables.ended(Math.min(surplus, FORGOTTEN_AT_ONCE)))) {
      const read = tables.record('done', number);
      if (read?.kind === 'record' && read.record.clientKey !== null && read.record.mergedInto === null) {
        tables.removeKeyed(read.record.clientKey);
      }
      tables.removeRecord('done', number);
      tables.removeResponse(number);
      tables.removeEnded(place);
      tables.count({ done: -1 });
    }
  }
}

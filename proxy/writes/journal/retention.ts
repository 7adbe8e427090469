import { repeatedResponseFields } from '../../../policies/writes.ts';
import type { OriginResponse, WriteRecord } from './record.ts';
import type { JournalTables } from './tables.ts';

export interface RetentionLimits {
  /** The maximum of delivered and merged writes. */
  readonly done: number;
  /** The maximum bytes of the origin's responses to writes with a client's Idempotency-Key. */
  readonly responsesBytes: number;
}

/** The maximum of records that are removed for each added one; more than one is removed after the limit was lowered. */
const REMOVED_AT_ONCE = 4;
/** The maximum of responses that are removed for each added one. */
const RESPONSES_REMOVED_AT_ONCE = 64;

/** Limits the kept records of done writes, and the kept responses for repetitions of writes. */
export class Retention {
  readonly #tables: JournalTables;
  readonly #limits: () => RetentionLimits;

  constructor(tables: JournalTables, limits: () => RetentionLimits) {
    this.#tables = tables;
    this.#limits = limits;
  }

  /** Within a change: keeps the record of a delivered or merged write. */
  put(number: number, record: WriteRecord): void {
    this.#tables.putRecord('done', number, record);
    this.#tables.putEnded(number);
    this.#tables.count({ done: 1 });
    this.#removeSurplus();
  }

  /** Within a change: keeps the response if the write has a client's key. Others can't be repeated. */
  putResponse(number: number, record: WriteRecord, response: OriginResponse | null): void {
    if (record.clientKey === null || response === null) return;
    if (response.content.byteLength > this.#limits().responsesBytes) return;
    const tables = this.#tables;
    tables.putResponse(number, { ...response, fields: repeatedResponseFields(response.fields) });
    for (let i = 0; i < RESPONSES_REMOVED_AT_ONCE; i += 1) {
      if (tables.counts().responseBytes <= this.#limits().responsesBytes) return;
      const first = tables.firstResponse();
      if (first === null) return;
      tables.removeResponse(first);
    }
  }

  #removeSurplus(): void {
    const tables = this.#tables;
    const surplus = tables.counts().done - this.#limits().done;
    if (surplus <= 0) return;
    // The rows are read to the end first, because removals would move the cursor.
    for (const { place, number } of Array.from(tables.ended(Math.min(surplus, REMOVED_AT_ONCE)))) {
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

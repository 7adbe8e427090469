import type { WriteRecord } from './record.ts';
import type { JournalTables } from './tables.ts';

/** Delivered writes that are forgotten with each that is delivered, at most. */
const FORGOTTEN_AT_ONCE = 4;

/** Delivered and merged writes that can still be asked for: as many as `limit` says, those that were it last. */
export class Retention {
  readonly #tables: JournalTables;
  readonly #limit: () => number;

  constructor(tables: JournalTables, limit: () => number) {
    this.#tables = tables;
    this.#limit = limit;
  }

  /** Within a change. */
  put(number: number, record: WriteRecord): void {
    this.#tables.putRecord('done', number, record);
    this.#tables.putEnded(number);
    this.#tables.count({ done: 1 });
    this.#forget();
  }

  #forget(): void {
    const tables = this.#tables;
    const surplus = tables.counts().done - this.#limit();
    if (surplus <= 0) return;
    // Taken out of the cursor before anything is removed under it.
    for (const { place, number } of Array.from(tables.ended(Math.min(surplus, FORGOTTEN_AT_ONCE)))) {
      const read = tables.record('done', number);
      if (read?.kind === 'record' && read.record.clientKey !== null && read.record.mergedInto === null) {
        tables.removeKeyed(read.record.clientKey);
      }
      tables.removeRecord('done', number);
      tables.removeEnded(place);
      tables.count({ done: -1 });
    }
  }
}

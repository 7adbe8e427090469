import type { FenceChange, FenceOverflow, FenceRecord } from './writer.ts';

/**
 * What is in force and not on disk: each place of the table once, however often it was changed, for what is written down
 * is what stands there by then. So it is bounded by the table while the state can't be written.
 */
export class DirtyRecords {
  readonly #records = new Map<number, FenceRecord>();
  readonly #overflows = new Map<number, FenceOverflow>();

  add({ records, overflows }: FenceChange): void {
    for (const record of records) this.#records.set(record.slot, record);
    for (const overflow of overflows) this.#overflows.set(overflow.bucket, overflow);
  }

  /** All of it, for a write. */
  take(): FenceChange {
    const change = { records: [...this.#records.values()], overflows: [...this.#overflows.values()] };
    this.#records.clear();
    this.#overflows.clear();
    return change;
  }

  /** The write failed. A place that was changed meanwhile holds a newer record, and tells of the one before. */
  giveBack({ records, overflows }: FenceChange): void {
    for (const record of records) if (!this.#records.has(record.slot)) this.#records.set(record.slot, record);
    for (const overflow of overflows) this.#overflows.set(overflow.bucket, overflow);
  }
}

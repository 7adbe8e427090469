import type { FenceChange, FenceOverflow, FenceRecord } from './writer.ts';

/**
 * The dirty records of the table: in force, and not on disk yet. Each slot and bucket is listed once, however often it
 * changes, since a write takes what stands there by then. So the list is bounded by the table while the state can't be
 * written.
 */
export class DirtyRecords {
  readonly #records = new Map<number, FenceRecord>();
  readonly #overflows = new Map<number, FenceOverflow>();

  add({ records, overflows }: FenceChange): void {
    for (const record of records) this.#records.set(record.slot, record);
    for (const overflow of overflows) this.#overflows.set(overflow.bucket, overflow);
  }

  /** Takes all dirty records out, for a write. */
  take(): FenceChange {
    const change = { records: [...this.#records.values()], overflows: [...this.#overflows.values()] };
    this.#records.clear();
    this.#overflows.clear();
    return change;
  }

  /** Puts records back after a failed write. A slot that has changed meanwhile keeps its newer record. */
  giveBack({ records, overflows }: FenceChange): void {
    for (const record of records) if (!this.#records.has(record.slot)) this.#records.set(record.slot, record);
    for (const overflow of overflows) this.#overflows.set(overflow.bucket, overflow);
  }
}

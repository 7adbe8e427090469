import type { FenceChange, FenceOverflow, FenceRecord } from './writer.ts';

/**
 * The dirty records of the table: in force, and not on disk yet. Each slot and bucket is listed once, even if it changes
 * several times, because a write stores its content at that time. The size of the table therefore bounds the list
 * while the state can't be written.
 */
export class DirtyRecords {
  readonly #records = new Map<number, FenceRecord>();
  readonly #overflows = new Map<number, FenceOverflow>();

  add({ records, overflows }: FenceChange): void {
    for (const record of records) this.#records.set(record.slot, record);
    for (const overflow of overflows) this.#overflows.set(overflow.bucket, overflow);
  }

  /** Removes and returns all dirty records, for a write. */
  take(): FenceChange {
    const change = { records: [...this.#records.values()], overflows: [...this.#overflows.values()] };
    this.#records.clear();
    this.#overflows.clear();
    return change;
  }

  /** Adds records again after a failed write. A slot that has changed in the meantime keeps its newer record. */
  giveBack({ records, overflows }: FenceChange): void {
    for (const record of records) if (!this.#records.has(record.slot)) this.#records.set(record.slot, record);
    for (const overflow of overflows) this.#overflows.set(overflow.bucket, overflow);
  }
}

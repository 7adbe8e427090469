import type { StateStore, StateTable } from '../state/state-store.ts';
import { DirtyRecords } from './dirty.ts';
import type { FenceSize } from './layout.ts';
import { overflowRow, readNumber, readOverflow, readRecord, recordRow, wide } from './rows.ts';
import type { FenceChange, FenceWriter } from './writer.ts';

/** A change that is published in the table. */
export interface PlacedChange {
  readonly sequence: number;
  readonly change: FenceChange;
}

/** The fence's rows in the state: written with each invalidation, loaded at the start. Counts failed writes. */
export class FenceState {
  readonly #state: StateStore;
  readonly #meta: StateTable;
  readonly #records: StateTable;
  readonly #overflow: StateTable;
  readonly #writer: FenceWriter;
  readonly #size: FenceSize;
  readonly #onDurable: (sequence: number) => void;
  #durable: number;
  /** The highest sequence whose write to the state was begun. */
  #noted: number;
  /** The records that the next successful write to the state includes. */
  readonly #dirty = new DirtyRecords();
  failures = 0;
  /** Whether the last write to the state failed. */
  isFailing = false;

  /** `onDurable` is called with each sequence that is synced. */
  constructor(
    state: StateStore,
    writer: FenceWriter,
    size: FenceSize,
    onDurable: (sequence: number) => void,
  ) {
    this.#state = state;
    this.#meta = state.table('meta');
    this.#records = state.table('records');
    this.#overflow = state.table('overflow');
    this.#writer = writer;
    this.#size = size;
    this.#onDurable = onDurable;
    this.#durable = readNumber(this.#meta.get('sequence')) ?? 0;
    this.#noted = this.#durable;
  }

  /** The last sequence that is on disk. */
  get durableSequence(): number {
    return this.#durable;
  }

  /** Writes the change and `also` in one transaction. Rejects with a `NotDurableError` if the state can't be written. */
  async persist({ sequence, change }: PlacedChange, also: (() => void) | undefined): Promise<void> {
    this.#noted = Math.max(this.#noted, sequence);
    this.#dirty.add(change);
    let written: FenceChange = { records: [], overflows: [] };
    try {
      await this.#state.write(() => {
        written = this.#dirty.take();
        this.#putRows(written);
        this.#meta.put('sequence', wide(this.#noted));
        this.#meta.put('base', wide(this.#writer.base));
        also?.();
      });
      this.isFailing = false;
      this.#durable = Math.max(this.#durable, sequence);
      this.#onDurable(this.#durable);
    } catch (error) {
      this.#dirty.giveBack(written);
      throw this.#failed(error);
    }
  }

  /** Reserves sequences up to this one durably. Rejects with a `NotDurableError`. */
  async reserve(reserved: number): Promise<void> {
    try {
      await this.#state.write(() => this.#meta.put('reserved', wide(reserved)));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Loads the rows of earlier runs into the table. Rejects if the state can't be written. */
  async restore(): Promise<void> {
    const buckets = readNumber(this.#meta.get('buckets')) ?? this.#size.buckets;
    if (buckets !== this.#size.buckets) return this.#move(buckets);
    for (const row of this.#overflow.range()) this.#writer.restoreOverflow(readOverflow(row));
    for (const row of this.#records.range()) this.#writer.restoreRecord(readRecord(row));
    await this.#state.write(() => this.#meta.put('buckets', wide(this.#size.buckets)));
  }

  /**
   * Converts the rows of a table of another size. Records move to their new buckets. The highest overflow of any
   * ordinary bucket becomes that of all. The special regions after them have the same size in every table.
   */
  async #move(bucketsBefore: number): Promise<void> {
    const overflows = [...this.#overflow.range()].map(readOverflow);
    const records = [...this.#records.range()].map(readRecord);
    const ordinary = overflows.filter(({ bucket }) => bucket < bucketsBefore);
    const special = overflows
      .filter(({ bucket }) => bucket >= bucketsBefore)
      .map(({ bucket, hard: ofHard, soft: ofSoft }) => ({
        bucket: bucket - bucketsBefore + this.#size.buckets,
        hard: ofHard,
        soft: ofSoft,
      }));
    const hard = ordinary.reduce((most, overflow) => Math.max(most, overflow.hard), 0);
    const soft = ordinary.reduce((most, overflow) => Math.max(most, overflow.soft), 0);
    this.#writer.restoreOverflowOfAll(hard, soft);
    for (const overflow of special) this.#writer.restoreOverflow(overflow);
    const changes = records.map((record) => this.#writer.moveRecord(record));
    await this.#state.write(() => {
      for (const record of records) this.#records.remove(recordRow(record)[0]);
      for (const overflow of overflows) this.#overflow.remove(overflowRow(overflow)[0]);
      if (hard > 0 || soft > 0) {
        for (let bucket = 0; bucket < this.#size.buckets; bucket += 1) {
          this.#overflow.put(...overflowRow({ bucket, hard, soft }));
        }
      }
      for (const overflow of special) this.#overflow.put(...overflowRow(overflow));
      for (const change of changes) this.#putRows(change);
      this.#meta.put('buckets', wide(this.#size.buckets));
    });
  }

  /** Writes the current content of the changed places, which may be newer than the change. */
  #putRows(placed: FenceChange): void {
    const change = this.#writer.latest(placed);
    for (const record of change.records) this.#records.put(...recordRow(record));
    for (const overflow of change.overflows) this.#overflow.put(...overflowRow(overflow));
  }

  #failed(cause: unknown): NotDurableError {
    this.failures += 1;
    this.isFailing = true;
    return new NotDurableError(cause);
  }
}

/** The state could not be written. An invalidation is in force, but would not survive a crash. */
export class NotDurableError extends Error {
  readonly code = 'WEIR_NOT_DURABLE';

  constructor(cause: unknown) {
    super('the state could not be written and synced', { cause });
  }
}

/** Counts a worker's requests in memory that the coordinator reads, without a message and without an allocation. */
import type { Outcome } from './outcome.ts';
import {
  BOUNDS_SECONDS,
  bytesCell,
  classCell,
  countCell,
  HIT_AT,
  MISS_AT,
  nameOffset,
  NAMES_BYTES,
  ORIGIN_AT,
  OUTCOME_INDEX,
  REASON_BYTES,
  REASONS,
  SHEET_CELLS,
  SUM_CELL,
} from './cells.ts';
import type { Recorder } from './recorder.ts';
import { OUTCOMES } from './outcome.ts';

/** A buffer that the coordinator is to read: told once, before anything is counted in it. Passes between threads. */
export type RecorderPart =
  | { readonly kind: 'names'; readonly buffer: SharedArrayBuffer }
  | { readonly kind: 'sheet'; readonly route: string; readonly buffer: SharedArrayBuffer };

export class SharedRecorder implements Recorder {
  readonly #publish: (part: RecorderPart) => void;
  readonly #sheets = new Map<string, Float64Array>();
  readonly #reasons: readonly Map<string, number>[] = OUTCOMES.map(() => new Map());
  readonly #nameCounts: Int32Array;
  readonly #nameBytes: Uint8Array;

  /** Each route that is counted for the first time is one more part. */
  constructor(publish: (part: RecorderPart) => void) {
    const names = new SharedArrayBuffer(NAMES_BYTES);
    this.#publish = publish;
    this.#nameCounts = new Int32Array(names, 0, OUTCOMES.length);
    this.#nameBytes = new Uint8Array(names);
    publish({ kind: 'names', buffer: names });
  }

  request(
    route: string,
    outcome: Outcome,
    reason: string,
    status: number,
    durationMs: number,
    contentBytes: number,
  ): void {
    const sheet = this.#sheets.get(route) ?? this.#addSheet(route);
    const index = OUTCOME_INDEX[outcome];
    const reasonIndex = this.#reasons[index]!.get(reason) ?? this.#intern(index, reason);
    add(sheet, countCell(index, reasonIndex), 1);
    add(sheet, bytesCell(index), contentBytes);
    if (status >= 100 && status < 600) add(sheet, classCell(Math.trunc(status / 100) - 1), 1);
    const histogram = histogramOf(outcome, reason);
    if (histogram !== 0) observe(sheet, histogram, durationMs / 1000);
  }

  originHead(route: string, durationMs: number): void {
    observe(this.#sheets.get(route) ?? this.#addSheet(route), ORIGIN_AT, durationMs / 1000);
  }

  #addSheet(route: string): Float64Array {
    const buffer = new SharedArrayBuffer(SHEET_CELLS * Float64Array.BYTES_PER_ELEMENT);
    const sheet = new Float64Array(buffer);
    this.#sheets.set(route, sheet);
    this.#publish({ kind: 'sheet', route, buffer });
    return sheet;
  }

  /** The name is there before the number of names says so: the coordinator reads the number first. */
  #intern(outcome: number, reason: string): number {
    const reasons = this.#reasons[outcome]!;
    const index = reasons.size;
    if (index === REASONS) return REASONS;
    const offset = nameOffset(outcome, index);
    new TextEncoder().encodeInto(reason, this.#nameBytes.subarray(offset, offset + REASON_BYTES));
    reasons.set(reason, index);
    Atomics.store(this.#nameCounts, outcome, index + 1);
    return index;
  }
}

/** Where a request's duration counts: answered out of what is stored, or after the origin was asked; 0: nowhere. */
function histogramOf(outcome: Outcome, reason: string): number {
  switch (outcome) {
    case 'hit':
      return HIT_AT;
    case 'stale':
      return reason === 'stale-if-error' ? MISS_AT : HIT_AT;
    case 'revalidated':
    case 'miss':
    case 'pass':
      return MISS_AT;
    default:
      return 0;
  }
}

function observe(sheet: Float64Array, histogram: number, seconds: number): void {
  let bucket = 0;
  while (bucket < BOUNDS_SECONDS.length && seconds > BOUNDS_SECONDS[bucket]!) bucket += 1;
  add(sheet, histogram + bucket, 1);
  add(sheet, histogram + SUM_CELL, seconds);
}

/** One writer: no atomic addition is needed. */
function add(sheet: Float64Array, cell: number, amount: number): void {
  sheet[cell] = sheet[cell]! + amount;
}

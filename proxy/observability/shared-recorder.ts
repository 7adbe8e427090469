/** Counts a worker's requests in memory shared with the coordinator, without messages or allocations. */
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
  ROUTE_CELLS,
  SUM_CELL,
} from './request-cells.ts';
import type { Recorder } from './recorder.ts';
import { OUTCOMES } from './outcome.ts';

/** A buffer that the coordinator reads. It is sent once, before the first count. */
export type RecorderPart =
  | { readonly kind: 'reasons'; readonly buffer: SharedArrayBuffer }
  | { readonly kind: 'route'; readonly route: string; readonly buffer: SharedArrayBuffer };

export class SharedRecorder implements Recorder {
  readonly #publish: (part: RecorderPart) => void;
  readonly #routes = new Map<string, Float64Array>();
  readonly #reasons: readonly Map<string, number>[] = OUTCOMES.map(() => new Map());
  readonly #nameCounts: Int32Array;
  readonly #nameBytes: Uint8Array;

  /** Calls `publish` once at the start, and once for each route at its first request. */
  constructor(publish: (part: RecorderPart) => void) {
    const names = new SharedArrayBuffer(NAMES_BYTES);
    this.#publish = publish;
    this.#nameCounts = new Int32Array(names, 0, OUTCOMES.length);
    this.#nameBytes = new Uint8Array(names);
    publish({ kind: 'reasons', buffer: names });
  }

  request(
    route: string,
    outcome: Outcome,
    reason: string,
    status: number,
    durationMs: number,
    contentBytes: number,
  ): void {
    const cells = this.#routes.get(route) ?? this.#addRoute(route);
    const index = OUTCOME_INDEX[outcome];
    const reasonIndex = this.#reasons[index]!.get(reason) ?? this.#intern(index, reason);
    add(cells, countCell(index, reasonIndex), 1);
    add(cells, bytesCell(index), contentBytes);
    if (status >= 100 && status < 600) add(cells, classCell(Math.trunc(status / 100) - 1), 1);
    const histogram = histogramOf(outcome, reason);
    if (histogram !== 0) observe(cells, histogram, durationMs / 1000);
  }

  originHead(route: string, durationMs: number): void {
    observe(this.#routes.get(route) ?? this.#addRoute(route), ORIGIN_AT, durationMs / 1000);
  }

  #addRoute(route: string): Float64Array {
    const buffer = new SharedArrayBuffer(ROUTE_CELLS * Float64Array.BYTES_PER_ELEMENT);
    const cells = new Float64Array(buffer);
    this.#routes.set(route, cells);
    this.#publish({ kind: 'route', route, buffer });
    return cells;
  }

  /** Writes the name before it raises the number of names: the coordinator reads that number first. */
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

/** The first cell of the duration histogram: of requests answered from the store, or after the origin responded. 0: none. */
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

function observe(cells: Float64Array, histogram: number, seconds: number): void {
  let bucket = 0;
  while (bucket < BOUNDS_SECONDS.length && seconds > BOUNDS_SECONDS[bucket]!) bucket += 1;
  add(cells, histogram + bucket, 1);
  add(cells, histogram + SUM_CELL, seconds);
}

/** Only one thread writes the cell, so no atomic addition is needed. */
function add(cells: Float64Array, cell: number, amount: number): void {
  cells[cell] = cells[cell]! + amount;
}

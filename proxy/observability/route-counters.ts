import { CounterSum } from '../threads/counters.ts';
import { OUTCOMES, type Outcome } from './outcome.ts';
import {
  BOUNDS_SECONDS,
  bytesCell,
  classCell,
  countCell,
  HIT_AT,
  MISS_AT,
  nameOffset,
  ORIGIN_AT,
  OTHER_REASON,
  REASON_BYTES,
  REASONS,
  STATUS_CLASSES,
  SUM_CELL,
  type StatusClass,
} from './request-cells.ts';
import type { RecorderPart } from './shared-recorder.ts';

/** The maps have no keys with a count of zero. */
export interface RouteCounts {
  readonly requests: ReadonlyMap<Outcome, ReadonlyMap<string, number>>;
  /** Bytes of content. */
  readonly bytes: ReadonlyMap<Outcome, number>;
  readonly responses: ReadonlyMap<StatusClass, number>;
  readonly hit: HistogramCounts;
  readonly miss: HistogramCounts;
  readonly origin: HistogramCounts;
}

export interface HistogramCounts {
  /** One bucket for each bound, not cumulative, and one for larger values. */
  readonly buckets: readonly number[];
  readonly sumSeconds: number;
}

/** Counts by route; the empty name stands for requests that matched no route. */
export type CountsByRoute = ReadonlyMap<string, RouteCounts>;

/** The request counters of all workers, read from their shared memory at each call. */
export class RouteCounters {
  readonly #cells = new Map<number, WorkerCells>();
  readonly #sum = new CounterSum<number, CountsByRoute>(new Map());

  /** `worker` is a number that is never reused in this process. */
  take(worker: number, part: RecorderPart): void {
    let cells = this.#cells.get(worker);
    if (cells === undefined) {
      const added: WorkerCells = { reasons: null, routes: new Map() };
      cells = added;
      this.#cells.set(worker, cells);
      this.#sum.add(worker, () => countsOf(added));
    }
    if (part.kind === 'reasons') cells.reasons = part.buffer;
    else cells.routes.set(part.route, new Float64Array(part.buffer));
  }

  /** The worker has ended: its counts are kept, its buffers are released. */
  retire(worker: number): void {
    this.#sum.end(worker);
    this.#cells.delete(worker);
  }

  /** No counter is ever lower than in an earlier reading. */
  read(): CountsByRoute {
    return this.#sum.read();
  }
}

interface WorkerCells {
  /** The names of reasons. */
  reasons: SharedArrayBuffer | null;
  readonly routes: Map<string, Float64Array>;
}

function countsOf({ reasons: names, routes }: WorkerCells): CountsByRoute {
  if (names === null) return new Map();
  const reasons = OUTCOMES.map((_, outcome) => reasonNames(names, outcome));
  return new Map([...routes].map(([route, cells]) => [route, routeCounts(cells, reasons)]));
}

function routeCounts(cells: Float64Array, reasons: readonly (readonly string[])[]): RouteCounts {
  const requests = new Map<Outcome, ReadonlyMap<string, number>>();
  const bytes = new Map<Outcome, number>();
  OUTCOMES.forEach((outcome, index) => {
    const named = reasons[index]!.map((reason, i) => [reason, cells[countCell(index, i)]!] as const);
    const byReason = counted([...named, [OTHER_REASON, cells[countCell(index, REASONS)]!]]);
    if (byReason.size === 0) return;
    requests.set(outcome, byReason);
    bytes.set(outcome, cells[bytesCell(index)]!);
  });
  return {
    requests,
    bytes,
    responses: counted(STATUS_CLASSES.map((name, i) => [name, cells[classCell(i)]!])),
    hit: histogramAt(cells, HIT_AT),
    miss: histogramAt(cells, MISS_AT),
    origin: histogramAt(cells, ORIGIN_AT),
  };
}

function counted<Name>(counts: readonly (readonly [Name, number])[]): ReadonlyMap<Name, number> {
  const map = new Map<Name, number>();
  // A reason may have the same name as `OTHER_REASON`.
  for (const [name, count] of counts) if (count > 0) map.set(name, (map.get(name) ?? 0) + count);
  return map;
}

function histogramAt(cells: Float64Array, at: number): HistogramCounts {
  return {
    buckets: [...cells.subarray(at, at + BOUNDS_SECONDS.length + 1)],
    sumSeconds: cells[at + SUM_CELL]!,
  };
}

function reasonNames(names: SharedArrayBuffer, outcome: number): string[] {
  const count = Atomics.load(new Int32Array(names, 0, OUTCOMES.length), outcome);
  return Array.from({ length: count }, (_, reason) => {
    // TextDecoder does not accept shared memory.
    const bytes = Buffer.from(new Uint8Array(names, nameOffset(outcome, reason), REASON_BYTES));
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? REASON_BYTES : end);
  });
}

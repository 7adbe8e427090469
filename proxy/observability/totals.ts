/** What all workers counted, those that have ended among them: read from their buffers when it is asked for. */
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
} from './cells.ts';
import type { RecorderPart } from './shared-recorder.ts';

export interface RouteTotals {
  readonly requests: ReadonlyMap<Outcome, ReadonlyMap<string, number>>;
  /** Of content. */
  readonly bytes: ReadonlyMap<Outcome, number>;
  readonly responses: ReadonlyMap<StatusClass, number>;
  readonly hit: HistogramTotals;
  readonly miss: HistogramTotals;
  readonly origin: HistogramTotals;
}

export interface HistogramTotals {
  /** One for each bound, not added up, and one for what is above. */
  readonly buckets: readonly number[];
  readonly sumSeconds: number;
}

export class Totals {
  readonly #books = new Map<number, Book>();
  /** What workers counted that have ended. */
  readonly #ended = new Map<string, Sums>();

  /** `worker` is a number that no other worker of this process has had. */
  take(worker: number, part: RecorderPart): void {
    let book = this.#books.get(worker);
    if (book === undefined) {
      book = { names: null, sheets: [] };
      this.#books.set(worker, book);
    }
    if (part.kind === 'names') book.names = part.buffer;
    else book.sheets.push({ route: part.route, cells: new Float64Array(part.buffer) });
  }

  /** The worker has ended: its numbers stay, its buffers go. */
  retire(worker: number): void {
    const book = this.#books.get(worker);
    if (book === undefined) return;
    addBook(this.#ended, book);
    this.#books.delete(worker);
  }

  /** By route; empty for requests that no route took. No number is ever less than in an earlier reading. */
  read(): ReadonlyMap<string, RouteTotals> {
    const sums = new Map([...this.#ended].map(([route, ended]) => [route, copyOf(ended)]));
    for (const book of this.#books.values()) addBook(sums, book);
    return sums;
  }
}

interface Book {
  names: SharedArrayBuffer | null;
  readonly sheets: { readonly route: string; readonly cells: Float64Array }[];
}

interface Sums extends RouteTotals {
  readonly requests: Map<Outcome, Map<string, number>>;
  readonly bytes: Map<Outcome, number>;
  readonly responses: Map<StatusClass, number>;
  readonly hit: Histogram;
  readonly miss: Histogram;
  readonly origin: Histogram;
}

interface Histogram {
  readonly buckets: number[];
  sumSeconds: number;
}

function addBook(sums: Map<string, Sums>, { names, sheets }: Book): void {
  if (names === null) return;
  const reasons = OUTCOMES.map((_, outcome) => reasonNames(names, outcome));
  for (const { route, cells } of sheets) {
    const sum = sums.get(route) ?? newSums();
    sums.set(route, sum);
    addCounts(sum, cells, reasons);
    addHistogram(sum.hit, cells, HIT_AT);
    addHistogram(sum.miss, cells, MISS_AT);
    addHistogram(sum.origin, cells, ORIGIN_AT);
  }
}

function addCounts(sum: Sums, cells: Float64Array, reasons: readonly (readonly string[])[]): void {
  OUTCOMES.forEach((outcome, index) => {
    const byReason = sum.requests.get(outcome) ?? new Map<string, number>();
    reasons[index]!.forEach((reason, i) => addTo(byReason, reason, cells[countCell(index, i)]!));
    addTo(byReason, OTHER_REASON, cells[countCell(index, REASONS)]!);
    if (byReason.size === 0) return;
    sum.requests.set(outcome, byReason);
    sum.bytes.set(outcome, (sum.bytes.get(outcome) ?? 0) + cells[bytesCell(index)]!);
  });
  STATUS_CLASSES.forEach((name, i) => addTo(sum.responses, name, cells[classCell(i)]!));
}

function addHistogram(histogram: Histogram, cells: Float64Array, at: number): void {
  for (let i = 0; i <= BOUNDS_SECONDS.length; i += 1) histogram.buckets[i]! += cells[at + i]!;
  histogram.sumSeconds += cells[at + SUM_CELL]!;
}

/** What was never counted is left out. */
function addTo<Key>(counts: Map<Key, number>, key: Key, amount: number): void {
  if (amount > 0) counts.set(key, (counts.get(key) ?? 0) + amount);
}

function reasonNames(names: SharedArrayBuffer, outcome: number): string[] {
  const count = Atomics.load(new Int32Array(names, 0, OUTCOMES.length), outcome);
  return Array.from({ length: count }, (_, reason) => {
    // A decoder does not read shared memory.
    const bytes = Buffer.from(new Uint8Array(names, nameOffset(outcome, reason), REASON_BYTES));
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? REASON_BYTES : end);
  });
}

function newSums(): Sums {
  return {
    requests: new Map(),
    bytes: new Map(),
    responses: new Map(),
    hit: newHistogram(),
    miss: newHistogram(),
    origin: newHistogram(),
  };
}

function newHistogram(): Histogram {
  return { buckets: BOUNDS_SECONDS.map(() => 0).concat(0), sumSeconds: 0 };
}

function copyOf(sums: Sums): Sums {
  return {
    requests: new Map([...sums.requests].map(([outcome, reasons]) => [outcome, new Map(reasons)])),
    bytes: new Map(sums.bytes),
    responses: new Map(sums.responses),
    hit: { ...sums.hit, buckets: [...sums.hit.buckets] },
    miss: { ...sums.miss, buckets: [...sums.miss.buckets] },
    origin: { ...sums.origin, buckets: [...sums.origin.buckets] },
  };
}

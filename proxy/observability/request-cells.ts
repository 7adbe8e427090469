/**
 * The layout of the counters of requests in shared memory. A worker writes its own buffers only; the coordinator reads
 * all of them. Each worker has one buffer with the names of reasons, and for each route one buffer of Float64 cells.
 */
import { OUTCOMES, type Outcome } from './outcome.ts';

/** The number of reasons that are counted by name for each outcome. Further reasons count as `OTHER_REASON`. */
export const REASONS = 64;
export const OTHER_REASON = 'other';
/** The length of a reason's name in UTF-8; longer names are cut. */
export const REASON_BYTES = 40;

/** Upper bounds of the histograms' buckets; one more bucket holds larger values. */
export const BOUNDS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

export const STATUS_CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
export type StatusClass = (typeof STATUS_CLASSES)[number];

/** The cells of a histogram: its buckets, not cumulative, and the sum in seconds. */
const HISTOGRAM_CELLS = BOUNDS_SECONDS.length + 2;
export const SUM_CELL = BOUNDS_SECONDS.length + 1;

const REASON_CELLS = REASONS + 1;
const COUNTS_AT = 0;
const BYTES_AT = COUNTS_AT + OUTCOMES.length * REASON_CELLS;
const CLASSES_AT = BYTES_AT + OUTCOMES.length;

export const HIT_AT = CLASSES_AT + STATUS_CLASSES.length;
export const MISS_AT = HIT_AT + HISTOGRAM_CELLS;
export const ORIGIN_AT = MISS_AT + HISTOGRAM_CELLS;
export const ROUTE_CELLS = ORIGIN_AT + HISTOGRAM_CELLS;

export const OUTCOME_INDEX: Readonly<Record<Outcome, number>> = Object.fromEntries(
  OUTCOMES.map((outcome, i) => [outcome, i]),
) as Record<Outcome, number>;

/** `reason` up to and including `REASONS`, which stands for all others. */
export function countCell(outcome: number, reason: number): number {
  return COUNTS_AT + outcome * REASON_CELLS + reason;
}

export function bytesCell(outcome: number): number {
  return BYTES_AT + outcome;
}

/** `statusClass` from 0, which is 1xx. */
export function classCell(statusClass: number): number {
  return CLASSES_AT + statusClass;
}

/** The names of reasons: for each outcome how many there are, then the names, filled up with zeros. */
export const NAMES_BYTES = OUTCOMES.length * 4 + OUTCOMES.length * REASONS * REASON_BYTES;

export function nameOffset(outcome: number, reason: number): number {
  return OUTCOMES.length * 4 + (outcome * REASONS + reason) * REASON_BYTES;
}

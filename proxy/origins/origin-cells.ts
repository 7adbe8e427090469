import type { OriginConfig } from '../../policies/config/config.ts';
import { BREAKER_BYTES, createBreaker, type Breaker } from '../../origin-adapters/http/breaker.ts';

/** How the origins are, in memory that all threads share: their breakers, and which of their URLs are well or fail. */
export interface OriginCellsSource {
  readonly origins: readonly string[];
  readonly buffer: SharedArrayBuffer;
  /** Another one for each new memory. */
  readonly generation: number;
}

const WELL_BYTES = 8;
const FAILING_BYTES = 8;
const ORIGIN_BYTES = BREAKER_BYTES + WELL_BYTES + FAILING_BYTES;
/** URLs beyond are taken for well. */
const MAX_URLS = 62;
/** The bit of the origin as a whole: its queue is full, or its breaker is open. */
const WHOLE = 62;

/** The same memory as before where it has a place for each of the origins. */
export function originCellsSource(
  origins: readonly string[],
  before: OriginCellsSource | null,
): OriginCellsSource {
  if (before !== null && origins.every((name) => before.origins.includes(name))) return before;
  const buffer = new SharedArrayBuffer(Math.max(1, origins.length) * ORIGIN_BYTES);
  return { origins, buffer, generation: (before?.generation ?? 0) + 1 };
}

export class OriginCells {
  readonly #source: OriginCellsSource;
  readonly #cells: BigInt64Array;

  constructor(source: OriginCellsSource) {
    this.#source = source;
    this.#cells = new BigInt64Array(source.buffer);
  }

  /** Null where the configuration asks for none. */
  breakerOf({ name, breaker }: OriginConfig): Breaker | null {
    const place = this.#source.origins.indexOf(name);
    if (breaker === null || place < 0) return null;
    return createBreaker(breaker, this.#source.buffer, place * ORIGIN_BYTES);
  }

  /** `url` is its place in the configuration. */
  isWell(origin: string, url: number): boolean {
    if (url >= MAX_URLS) return true;
    return (Atomics.load(this.#cells, this.#wellCell(origin)) & (1n << BigInt(url))) === 0n;
  }

  setWell(origin: string, url: number, isWell: boolean): void {
    if (url >= MAX_URLS) return;
    const bit = 1n << BigInt(url);
    if (isWell) Atomics.and(this.#cells, this.#wellCell(origin), ~bit);
    else Atomics.or(this.#cells, this.#wellCell(origin), bit);
  }

  /** Whether requests to this URL, or to the origin as a whole, have failed and were not seen to succeed since. */
  isFailing(origin: string, url: number): boolean {
    const bits = (1n << BigInt(Math.min(url, MAX_URLS - 1))) | (1n << BigInt(WHOLE));
    return (Atomics.load(this.#cells, this.#wellCell(origin) + 1) & bits) !== 0n;
  }

  /** null: the origin as a whole. */
  setFailing(origin: string, url: number | null, isFailing: boolean): void {
    const bit = 1n << BigInt(url === null ? WHOLE : Math.min(url, MAX_URLS - 1));
    if (isFailing) Atomics.or(this.#cells, this.#wellCell(origin) + 1, bit);
    else Atomics.and(this.#cells, this.#wellCell(origin) + 1, ~bit);
  }

  #wellCell(origin: string): number {
    const place = Math.max(0, this.#source.origins.indexOf(origin));
    return (place * ORIGIN_BYTES + BREAKER_BYTES) / 8;
  }
}

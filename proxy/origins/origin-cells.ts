import type { OriginConfig } from '../../policies/config/config.ts';
import { BREAKER_BYTES, createBreaker, type Breaker } from '../../origin-adapters/http/breaker.ts';

/** The state of the origins in shared memory: their breakers and the health of their URLs. */
export interface OriginCellsSource {
  readonly origins: readonly string[];
  readonly buffer: SharedArrayBuffer;
  /** Identifies the shared memory: each new one has another value. */
  readonly generation: number;
}

/** Two words after the breaker's cells, with one bit per URL: its health check fails; requests to it fail. */
const UNHEALTHY = 0;
const FAILING = 1;
const ORIGIN_BYTES = BREAKER_BYTES + 2 * BigInt64Array.BYTES_PER_ELEMENT;
/** The health of further URLs is not stored: they count as healthy. */
const MAX_URLS = 62;
/** The bit of `FAILING` for the origin as a whole: its queue is full, or its breaker is open. */
const WHOLE = 62;

/** Returns the earlier memory if it has cells for all origins. */
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

  /** Null: the configuration has no breaker for the origin. */
  breakerOf({ name, breaker }: OriginConfig): Breaker | null {
    const place = this.#source.origins.indexOf(name);
    if (breaker === null || place < 0) return null;
    return createBreaker(breaker, this.#source.buffer, place * ORIGIN_BYTES);
  }

  /** `url` is the URL's index in the configuration. */
  isHealthy(origin: string, url: number): boolean {
    return url >= MAX_URLS || !this.#hasBit(this.#cellOf(origin, UNHEALTHY), url);
  }

  setHealthy(origin: string, url: number, isHealthy: boolean): void {
    if (url < MAX_URLS) this.#setBit(this.#cellOf(origin, UNHEALTHY), url, !isHealthy);
  }

  /** Whether requests to this URL, or to the origin as a whole, have failed and none has succeeded since. */
  isFailing(origin: string, url: number): boolean {
    const cell = this.#cellOf(origin, FAILING);
    if (Atomics.load(this.#cells, cell) === 0n) return false;
    return this.#hasBit(cell, Math.min(url, MAX_URLS - 1)) || this.#hasBit(cell, WHOLE);
  }

  /** `url` null: the origin as a whole. */
  setFailing(origin: string, url: number | null, isFailing: boolean): void {
    const bit = url === null ? WHOLE : Math.min(url, MAX_URLS - 1);
    this.#setBit(this.#cellOf(origin, FAILING), bit, isFailing);
  }

  #cellOf(origin: string, cell: number): number {
    const place = Math.max(0, this.#source.origins.indexOf(origin));
    return (place * ORIGIN_BYTES + BREAKER_BYTES) / 8 + cell;
  }

  #hasBit(cell: number, bit: number): boolean {
    return (Atomics.load(this.#cells, cell) & (1n << BigInt(bit))) !== 0n;
  }

  #setBit(cell: number, bit: number, isSet: boolean): void {
    const mask = 1n << BigInt(bit);
    if (isSet) Atomics.or(this.#cells, cell, mask);
    else Atomics.and(this.#cells, cell, ~mask);
  }
}

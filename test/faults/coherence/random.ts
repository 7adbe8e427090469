/** A seeded generator of numbers (mulberry32), so that a run can be repeated. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** A generator that is seeded from this one, so that concurrent users do not affect each other's numbers. */
  fork(): Random {
    return new Random(this.below(2 ** 32));
  }
}

/** `WEIR_SEED`, else a seed from the clock. Printed, so that a run that fails can be repeated. */
export function seedOf(name: string): number {
  const given = process.env['WEIR_SEED'];
  const seed = given === undefined ? Date.now() % 2 ** 32 : Number(given);
  console.info(`${name}: WEIR_SEED=${seed}`);
  return seed;
}

/**
 * Counters of several sources (threads, connections to an origin), added up. What a source has counted stays when the
 * source ends, so that no counter ever falls.
 */
export class CounterSum<Source, Counts> {
  readonly #running = new Map<Source, () => Counts>();
  readonly #lasting: (counts: Counts) => Counts;
  #ended: Counts;

  /** `lasting` sets gauges (entries held, requests in progress) to zero. */
  constructor(zero: Counts, lasting: (counts: Counts) => Counts = (counts) => counts) {
    this.#ended = zero;
    this.#lasting = lasting;
  }

  /** `read` gives the source's counts so far; it replaces an earlier one of the same source. */
  add(source: Source, read: () => Counts): void {
    this.#running.set(source, read);
  }

  end(source: Source): void {
    const read = this.#running.get(source);
    if (read === undefined) return;
    this.#running.delete(source);
    this.#ended = sumOf(this.#ended, this.#lasting(read()));
  }

  read(): Counts {
    return [...this.#running.values()].reduce((sum, read) => sumOf(sum, read()), this.#ended);
  }
}

/** Adds numbers in objects, maps and lists by name. A missing number counts as zero. Changes neither operand. */
export function sumOf<Counts>(a: Counts, b: Counts | undefined): Counts {
  return sum(a, b) as Counts;
}

function sum(a: unknown, b: unknown): unknown {
  if (a === undefined) return b;
  if (b === undefined) return a;
  if (typeof a === 'number') return a + (b as number);
  if (Array.isArray(a)) return a.map((count, i) => sum(count, (b as readonly unknown[])[i]));
  if (a instanceof Map) {
    const all = new Map<unknown, unknown>(a);
    for (const [name, count] of b as ReadonlyMap<unknown, unknown>) all.set(name, sum(a.get(name), count));
    return all;
  }
  const all = { ...a } as Record<string, unknown>;
  for (const [name, count] of Object.entries(b as object)) all[name] = sum(all[name], count);
  return all;
}

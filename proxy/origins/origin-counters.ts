import type { Origin, OriginStats } from '../../origin-adapters/origin.ts';
import { CounterSum } from '../threads/counters.ts';

const NOTHING: OriginStats = { requests: 0, failures: 0, retries: 0, abandoned: 0, running: 0, queued: 0 };

/** One thread's counters of requests to origins, by origin name. The counts of a replaced origin are kept at a reload. */
export class OriginCounters {
  readonly #byName = new Map<string, CounterSum<Origin, OriginStats>>();

  add(name: string, origin: Origin): void {
    const counters = this.#byName.get(name) ?? new CounterSum<Origin, OriginStats>(NOTHING, countersOf);
    this.#byName.set(name, counters);
    counters.add(origin, () => origin.stats);
  }

  /** Closes the origin; its counts are kept. */
  async end(origin: Origin, graceMs: number): Promise<void> {
    await origin.close(graceMs);
    for (const counters of this.#byName.values()) counters.end(origin);
  }

  of(name: string): OriginStats {
    return this.#byName.get(name)?.read() ?? NOTHING;
  }
}

function countersOf(stats: OriginStats): OriginStats {
  return { ...stats, running: 0, queued: 0 };
}

import type { Origin, OriginStats } from '../../origin-adapters/origin.ts';

const NOTHING: OriginStats = { requests: 0, failures: 0, retries: 0, abandoned: 0, running: 0, queued: 0 };

/** What the coordinator itself asks of origins: deliveries and health checks, over all configurations. */
export class OriginCounters {
  readonly #counted = new Map<Origin, string>();
  /** Of those that have ended, by name. */
  readonly #ended = new Map<string, OriginStats>();

  /** Counted from now on under the name of its configuration. */
  add(name: string, origin: Origin): void {
    this.#counted.set(origin, name);
  }

  /** Closes it; what it did stays counted. */
  async end(origin: Origin, graceMs: number): Promise<void> {
    await origin.close(graceMs);
    const name = this.#counted.get(origin);
    if (name === undefined) return;
    this.#counted.delete(origin);
    const { requests, failures, retries, abandoned } = origin.stats;
    this.#ended.set(
      name,
      sum([this.#ended.get(name) ?? NOTHING, { ...NOTHING, requests, failures, retries, abandoned }]),
    );
  }

  /** Of the origin of that name. */
  of(name: string): OriginStats {
    const running = [...this.#counted].filter(([, other]) => other === name).map(([{ stats }]) => stats);
    return sum([this.#ended.get(name) ?? NOTHING, ...running]);
  }
}

function sum(all: readonly OriginStats[]): OriginStats {
  return all.reduce(
    (a, b) => ({
      requests: a.requests + b.requests,
      failures: a.failures + b.failures,
      retries: a.retries + b.retries,
      abandoned: a.abandoned + b.abandoned,
      running: a.running + b.running,
      queued: a.queued + b.queued,
    }),
    NOTHING,
  );
}

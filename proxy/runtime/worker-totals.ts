import type { WorkerStats } from './calls.ts';

/** What all workers have counted: those that have ended keep their part, so that no counter ever goes back. */
export class WorkerTotals {
  /** By instance, as the worker told last. */
  readonly #told = new Map<number, WorkerStats>();
  #ended: WorkerStats = NOTHING;

  note(instance: number, stats: WorkerStats): void {
    this.#told.set(instance, stats);
  }

  /** The worker has ended: its counters stay as it told them last, what it held is gone. */
  retire(instance: number): void {
    const last = this.#told.get(instance);
    if (last === undefined) return;
    this.#told.delete(instance);
    this.#ended = sumOf(this.#ended, countersOf(last));
  }

  read(): WorkerStats {
    return [...this.#told.values()].reduce(sumOf, this.#ended);
  }
}

const NOTHING: WorkerStats = {
  memory: { bytes: 0, entries: 0, evictions: 0, variantEvictions: 0 },
  promotions: 0,
  lost: 0,
  corrupt: 0,
  flights: {
    asked: 0,
    collapsed: 0,
    superseded: 0,
    alone: 0,
    failing: 0,
    refused: 0,
    tagsLeftOut: 0,
    conditionsRefused: 0,
    running: 0,
    waiting: 0,
  },
  cacheHandler: { refreshes: 0, refreshesSkipped: 0 },
  requests: { droppedFields: 0, tooSlow: { head: 0, content: 0, total: 0, answer: 0 } },
  origins: {},
};

/** Without what is true of a moment only. */
function countersOf(stats: WorkerStats): WorkerStats {
  return {
    ...stats,
    memory: { ...stats.memory, bytes: 0, entries: 0 },
    flights: { ...stats.flights, running: 0, waiting: 0 },
    origins: Object.fromEntries(
      Object.entries(stats.origins).map(([name, origin]) => [name, { ...origin, running: 0, queued: 0 }]),
    ),
  };
}

/** Numbers in objects, added name by name; what one side lacks counts nothing. */
export function sumOf<Numbers extends object>(a: Numbers, b: Partial<Numbers>): Numbers {
  const sum = { ...a } as Record<string, unknown>;
  for (const [name, value] of Object.entries(b)) {
    const other = sum[name];
    if (typeof value === 'number') sum[name] = value + (typeof other === 'number' ? other : 0);
    else sum[name] = sumOf((other ?? {}) as object, value as object);
  }
  return sum as Numbers;
}

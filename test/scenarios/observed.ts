/** Reads from the admin listener of a running Weir, for scenarios. */
import { expect } from 'vitest';
import type { FlightStats } from '../../proxy/runtime/stats.ts';
import type { RunningWeir } from '../support/weir.ts';

export interface ListedEntry {
  readonly usable: unknown;
  /** The tiers in which it is stored: `memory`, `disk`. */
  readonly levels: readonly string[];
}

/** The stored variants of a path, of all workers and on disk. */
export async function entriesOf(
  weir: Pick<RunningWeir, 'admin'>,
  path: string,
): Promise<readonly ListedEntry[]> {
  const answer = await weir.admin(`/entries?url=${path}`);
  return ((await answer.json()) as { entries: ListedEntry[] }).entries;
}

/** The counters of all workers' flights. */
export async function flightsOf(weir: Pick<RunningWeir, 'stats'>): Promise<FlightStats> {
  return (await weir.stats())['flights'] as FlightStats;
}

/** Resolves with the counters once they satisfy the condition. */
export async function untilFlights(
  weir: Pick<RunningWeir, 'stats'>,
  isReached: (flights: FlightStats) => boolean,
): Promise<FlightStats> {
  let flights!: FlightStats;
  await expect
    .poll(async () => (flights = await flightsOf(weir)), { interval: 5, timeout: 30_000 })
    .toSatisfy(isReached);
  return flights;
}

/** For `untilFlights`: no request to the origin runs, and nothing waits for one. */
export function isIdle({ running, waiting }: FlightStats): boolean {
  return running === 0 && waiting === 0;
}

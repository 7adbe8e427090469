/** The figures of all rows. */
import { spreadOf } from '../report.ts';
import type { ComparedRowName } from './rows.ts';

export interface Spread {
  readonly value: number;
  readonly spread: readonly [least: number, most: number];
}

/** The figures of one load on one server. */
export interface Round {
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
  /** Processor time of all processes of the server. */
  readonly microsPerRequest: number;
  /** Processor time a request by the purpose of threads; empty for servers other than Weir. */
  readonly threadMicros: ReadonlyMap<string, number>;
}

/** The figures of one server in one row: medians of its rounds. */
export interface ServerFigures {
  readonly title: string;
  readonly microsPerRequest: Spread;
  readonly requestsPerSecond: Spread;
  readonly p99Ms: Spread;
  /** At a rate below saturation, without pinning; null: not measured. */
  readonly pacedP99Ms: Spread | null;
  readonly threadMicros: ReadonlyMap<string, number>;
}

export interface RowFigures {
  readonly row: ComparedRowName | 'two-workers';
  readonly label: string;
  readonly servers: readonly ServerFigures[];
  /** The fixed rate of the measurement below saturation; null: not measured. */
  readonly pacedPerSecond: number | null;
}

/** A figure of Weir other than processor time a request. */
export interface Extra {
  readonly name: ExtraName;
  readonly value: number;
}

export const EXTRAS = {
  'loop-p99': { label: 'event loops: 99th percentile of delays', unit: 'ms' },
  'loop-max': { label: 'event loops: longest delay', unit: 'ms' },
  'million-ready': { label: 'time to ready with entries on disk', unit: 's' },
  'million-memory': { label: 'idle memory with entries on disk', unit: 'MiB' },
} as const;
export type ExtraName = keyof typeof EXTRAS;

export interface Figures {
  readonly rows: readonly RowFigures[];
  readonly extras: readonly Extra[];
  /** Sentences that explain figures of extras. */
  readonly notes: readonly string[];
  /** Reasons to doubt a figure: hits that reached the origin, misses that were not stored, failed requests. */
  readonly doubts: readonly string[];
}

export function figuresOf(
  title: string,
  rounds: readonly Round[],
  pacedP99Ms: readonly number[],
): ServerFigures {
  const names = new Set(rounds.flatMap(({ threadMicros }) => Array.from(threadMicros.keys())));
  const middle = (name: string): number =>
    spreadOf(rounds.map(({ threadMicros }) => threadMicros.get(name) ?? 0)).value;
  return {
    title,
    microsPerRequest: spreadOf(rounds.map((round) => round.microsPerRequest)),
    requestsPerSecond: spreadOf(rounds.map((round) => round.requestsPerSecond)),
    p99Ms: spreadOf(rounds.map((round) => round.p99Ms)),
    pacedP99Ms: pacedP99Ms.length === 0 ? null : spreadOf(pacedP99Ms),
    threadMicros: new Map(Array.from(names, (name) => [name, middle(name)])),
  };
}

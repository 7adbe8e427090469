/** The results of the bench, as a table for people and as JSON for programs. */
import { cpus, release, totalmem } from 'node:os';
import type { Latencies } from './processes/load.ts';

/** The result of one load on one server. */
export interface LoadRow {
  readonly name: string;
  /** The number of requests with a response. */
  readonly requests: number;
  /** The number of responses with a status other than 2xx, and of requests without a response. */
  readonly failures: number;
  readonly requestsPerSecond: number;
  readonly latencyMs: Latencies;
  /** Null: the server has no origin. */
  readonly originRequests: number | null;
  /** The share of requests for which the origin was not asked. */
  readonly offload: number | null;
  readonly processorMicrosPerRequest: number;
}

/** One figure of a scenario. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The range over the rounds, if the figure was measured in rounds. */
  readonly spread: readonly [least: number, most: number] | null;
  /** The upper bound that is aimed at; null: none. */
  readonly aimAtMost: number | null;
}

export interface ScenarioResult {
  readonly rows: readonly LoadRow[];
  readonly figures: readonly Figure[];
}

export interface Report {
  readonly command: string;
  readonly startedAt: string;
  readonly machine: {
    readonly processor: string;
    readonly processors: number;
    readonly memoryGiB: number;
    readonly system: string;
    readonly node: string;
  };
  readonly scenarios: readonly (ScenarioResult & { readonly name: string; readonly shows: string })[];
}

export function machine(): Report['machine'] {
  const processors = cpus();
  return {
    processor: processors[0]?.model ?? 'unknown',
    processors: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()}`,
    node: process.version,
  };
}

/** Returns the median of several values, and their range. */
export function spreadOf(values: readonly number[]): {
  readonly value: number;
  readonly spread: readonly [number, number];
} {
  const sorted = values.toSorted((a, b) => a - b);
  return { value: percentile(sorted, 50), spread: [sorted[0]!, sorted.at(-1)!] };
}

/** Returns a percentile by nearest rank; `values` are in ascending order. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
}

const COLUMNS = [
  'load',
  'requests/s',
  'p50 ms',
  'p99 ms',
  'origin requests',
  'offload',
  'processor µs/request',
  'failures',
] as const;

export function table({ rows, figures }: ScenarioResult): string {
  const lines: string[] = [];
  if (rows.length > 0) lines.push(...aligned([[...COLUMNS], ...rows.map(cells)]));
  for (const { name, value, unit, spread, aimAtMost } of figures) {
    const range = spread === null ? '' : ` (${short(spread[0])} to ${short(spread[1])})`;
    const aim = aimAtMost === null ? '' : `, aim: at most ${aimAtMost}${value > aimAtMost ? ', missed' : ''}`;
    lines.push(`${name}: ${short(value)}${unit === '' ? '' : ` ${unit}`}${range}${aim}`);
  }
  return lines.join('\n');
}

function cells(row: LoadRow): string[] {
  return [
    row.name,
    String(Math.round(row.requestsPerSecond)),
    short(row.latencyMs.p50),
    short(row.latencyMs.p99),
    row.originRequests === null ? '' : String(row.originRequests),
    row.offload === null ? '' : `${(row.offload * 100).toFixed(2)} %`,
    row.processorMicrosPerRequest.toFixed(1),
    String(row.failures),
  ];
}

/** Formats a table. The first column is aligned left, the others right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  '),
  );
}

function short(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 100 ? 2 : 0);
}

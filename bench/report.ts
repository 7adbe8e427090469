/** What the bench found, as a table for people and as JSON for programs. */
import { cpus, release, totalmem } from 'node:os';
import type { Latencies } from './processes/load.ts';

/** One load on one server. */
export interface LoadRow {
  readonly name: string;
  /** Answered. */
  readonly requests: number;
  /** Answers with a status other than 2xx, and requests without an answer. */
  readonly failures: number;
  readonly requestsPerSecond: number;
  readonly latencyMs: Latencies;
  /** null: there is no origin behind this server. */
  readonly originRequests: number | null;
  /** The share of requests for which the origin was not asked. */
  readonly offload: number | null;
  readonly processorMicrosPerRequest: number;
}

/** One number that a scenario is about. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Over the rounds of the run, where it was found in rounds. */
  readonly spread: readonly [least: number, most: number] | null;
  /** The most that it should be; null: none is set. */
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

/** The middle of several values, and how far they lie apart. */
export function spreadOf(values: readonly number[]): {
  readonly value: number;
  readonly spread: readonly [number, number];
} {
  const sorted = values.toSorted((a, b) => a - b);
  return { value: percentile(sorted, 50), spread: [sorted[0]!, sorted.at(-1)!] };
}

/** Of values in ascending order: the least that is not below `percent` of them. */
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

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
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

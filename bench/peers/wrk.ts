/** Loads a server to saturation with wrk, which runs with one thread on the load's processor. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LOAD_CORE, onCore } from './place.ts';

/** The paths of a load's requests. */
export type Requests =
  | { readonly kind: 'same'; readonly path: string }
  /**
   * A prefix and a number, which select each other: number n has prefix n modulo their count. Numbers begin at `from`.
   * With `items`, numbers are taken modulo `items`, so that paths repeat.
   */
  | {
      readonly kind: 'in-turn';
      readonly prefixes: readonly string[];
      readonly from: number;
      readonly items: number | null;
    };

export interface WrkPlan {
  readonly url: string;
  readonly connections: number;
  /** A whole number. */
  readonly seconds: number;
  readonly requests: Requests;
  readonly fields: Readonly<Record<string, string>>;
}

export interface WrkResult {
  /** Requests that were answered. */
  readonly requests: number;
  readonly seconds: number;
  readonly p99Ms: number;
  /** Responses with a status above 399, and requests without a response. */
  readonly failures: number;
}

const TIMEOUT_SECONDS = 20;
const GRACE_MS = 30_000;
const RESULT = 'weir-bench-result';

/** Rejects if wrk runs 30 s longer than planned. */
export async function runWrk(plan: WrkPlan): Promise<WrkResult> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-wrk-'));
  const script = join(folder, 'requests.lua');
  writeFileSync(script, wrkScript(plan));
  const { connections, seconds, url } = plan;
  const [taskset, ...parameters] = [
    ...onCore(LOAD_CORE),
    'wrk',
    '--threads=1',
    `--connections=${connections}`,
    `--duration=${seconds}s`,
    `--timeout=${TIMEOUT_SECONDS}s`,
    `--script=${script}`,
    url,
  ];
  try {
    const { stdout } = await promisify(execFile)(taskset!, parameters, {
      timeout: seconds * 1000 + GRACE_MS,
      killSignal: 'SIGKILL',
    });
    return readWrkOutput(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns a script in Lua. It concatenates the bytes of requests instead of formatting them, which costs wrk less. */
export function wrkScript({ url, requests, fields }: Omit<WrkPlan, 'connections' | 'seconds'>): string {
  const lines = Object.entries({ Host: new URL(url).host, ...fields }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `local tail = ${lua(` HTTP/1.1\r\n${lines.join('')}\r\n`)}
${requestFunction(requests)}
function done(summary, latency)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("\\n${RESULT} %d %d %d %d\\n",
    summary.requests, summary.duration, latency:percentile(99), failures))
end
`;
}

/** Reads the line that the script writes at its end. Throws if it is missing. */
export function readWrkOutput(output: string): WrkResult {
  const numbers = new RegExp(`^${RESULT} (\\d+) (\\d+) (\\d+) (\\d+)$`, 'm')
    .exec(output)
    ?.slice(1)
    .map(Number);
  if (numbers === undefined) throw new Error(`wrk wrote no result:\n${output}`);
  const [requests, micros, p99Micros, failures] = numbers as [number, number, number, number];
  return { requests, seconds: micros / 1e6, p99Ms: p99Micros / 1000, failures };
}

function requestFunction(requests: Requests): string {
  switch (requests.kind) {
    case 'same':
      return `local bytes = ${lua(`GET ${requests.path}`)} .. tail
function request() return bytes end`;
    case 'in-turn': {
      const { prefixes, from, items } = requests;
      const number = items === null ? 'at' : `at % ${items}`;
      return `local starts = { ${prefixes.map((prefix) => lua(`GET ${prefix}`)).join(', ')} }
local at = ${from}
function request()
  local number = ${number}
  at = at + 1
  return starts[number % ${prefixes.length} + 1] .. number .. tail
end`;
    }
    default:
      return requests satisfies never;
  }
}

/** Returns a string literal of Lua. */
function lua(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\r', '\\r').replaceAll('\n', '\\n')}"`;
}

/** Profiles Weir in one row: the functions of each thread with the most self time. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Stage } from '../scenario.ts';
import { Contender } from './contender.ts';
import { markdownTable } from './markdown.ts';
import { startOrigin } from './origin.ts';
import type { ComparedRow } from './rows.ts';
import { weirServer } from './weir.ts';

/** The part of a `.cpuprofile` that is used. Times are microseconds of CLOCK_MONOTONIC. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      /** From 0. */
      readonly lineNumber: number;
    };
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  /** The time between a sample and the one before. */
  readonly timeDeltas: readonly number[];
}

interface Window {
  readonly fromMicros: number;
  readonly toMicros: number;
}

const SHOWN = 10;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const IDLE = '(idle)';

/** Runs Weir with one worker on a row and returns tables as Markdown. */
export async function profileRow(row: ComparedRow, seconds: number, stage: Stage): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-profile-'));
  try {
    const server = weirServer({ workers: 1, title: 'Weir', profileFolder: folder });
    const contender = await Contender.start(server, row, await startOrigin(stage, row), stage);
    await contender.warmUp();
    const fromMicros = monotonicMicros();
    await contender.saturate(seconds);
    const window = { fromMicros, toMicros: monotonicMicros() };
    // Node.js writes the profiles when the process ends.
    await stage.end();
    return [
      `${row.label}: ${contender.figures().microsPerRequest.value.toFixed(1)} µs a request, with the profiler.`,
      ...profilesIn(folder).map(({ thread, profile }) => dearest(thread, selfMicros(profile, window))),
    ].join('\n\n');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns microseconds by function within a window. The function of a sample counts until the next sample. */
export function selfMicros(
  profile: CpuProfile,
  { fromMicros, toMicros }: Window,
): ReadonlyMap<string, number> {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const micros = new Map<string, number>();
  let at = profile.startTime;
  profile.samples.forEach((id, i) => {
    at += profile.timeDeltas[i]!;
    if (at < fromMicros || at > toMicros) return;
    const name = names.get(id)!;
    micros.set(name, (micros.get(name) ?? 0) + (profile.timeDeltas[i + 1] ?? 0));
  });
  return micros;
}

/** Node.js names the files `CPU.DATE.TIME.PID.THREAD.NUMBER.cpuprofile`. Thread 0 is the main thread. */
function profilesIn(folder: string): readonly { readonly thread: string; readonly profile: CpuProfile }[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => ({
      thread: name.split('.')[4] === '0' ? 'coordinator' : 'worker',
      profile: JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile,
    }));
}

function dearest(thread: string, micros: ReadonlyMap<string, number>): string {
  const all = Array.from(micros.values()).reduce((sum, value) => sum + value, 0);
  const idle = micros.get(IDLE) ?? 0;
  const busy = all - idle;
  const share = (value: number, of: number): string => `${((value / of) * 100).toFixed(1)} %`;
  const rows = Array.from(micros)
    .filter(([name]) => name !== IDLE)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, value]) => [name, share(value, busy)]);
  return `${thread}, busy ${share(busy, all)} of the time:\n\n${markdownTable(['function', 'self time'], rows)}`;
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const place = url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url;
  return `${name} ${place}:${lineNumber + 1}`;
}

function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

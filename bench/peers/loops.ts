/** Measures delays of event loops during misses, disk hits and evictions, below saturation, on all processors. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { randomNumbers } from '../paths.ts';
import type { LoadResult } from '../processes/load.ts';
import type { Turns } from '../processes/turns.ts';
import { Weir } from '../processes/weir.ts';
import type { Stage } from '../scenario.ts';
import { CONNECTIONS, fillStore, OVERFILL } from './filling.ts';
import type { Extra } from './figures.ts';
import { startOrigin } from './origin.ts';
import { after, pathsOf } from './requests.ts';
import { entriesIn, mixedPrefixes } from './rows.ts';
import { entriesAtRest } from './weir.ts';
import type { Requests } from './wrk.ts';

const WORKERS = 2;
const MEMORY = '4MiB';
const DISK_MIB = 64;
/** The popular URLs are more than memory holds and less than the disk holds. */
const POPULAR = 2_000;
const POPULAR_SHARE = 0.5;
const POPULAR_REQUESTS: Requests = {
  kind: 'in-turn',
  prefixes: mixedPrefixes('popular'),
  from: 0,
  items: POPULAR,
};
/** The rate as a share of the rate that misses alone reach at saturation. */
const RATE_SHARE = 0.5;
const MOST_PER_SECOND = 10_000;
const SEED = 1;
const WARM_SECONDS = 5;
/** For the delays of an idle loop, which show how busy the machine is. */
const RESOLUTION_MS = 1;
const NANOS_IN_MS = 1e6;
const PRELOAD = new URL('../processes/turns.ts', import.meta.url).href;
const REPORT_MS = 10_000;
const LOOK_MS = 50;

export interface LoopFigures {
  readonly extras: readonly Extra[];
  readonly note: string;
  readonly doubts: readonly string[];
}

export async function measureLoops(seconds: number, stage: Stage): Promise<LoopFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-turns-'));
  await stage.keep(async () => rmSync(folder, { recursive: true, force: true }));
  const origin = await startOrigin(stage, { requests: eachOnce(0) });
  const weir = await Weir.start({
    originPort: origin.port,
    workers: WORKERS,
    memory: MEMORY,
    disk: `${DISK_MIB}MiB`,
    profileFolder: null,
    nodeOptions: ['--import', PRELOAD],
    env: { WEIR_BENCH_TURNS: folder },
  });
  await stage.keep(() => weir.stop());
  await fillStore({ url: weir.url, requests: POPULAR_REQUESTS, wanted: POPULAR });
  const filling = { url: weir.url, requests: eachOnce(0), wanted: entriesIn(DISK_MIB * OVERFILL) };
  const filled = await fillStore(filling);
  await entriesAtRest(weir);
  const perSecond = Math.max(1, Math.floor(Math.min(MOST_PER_SECOND, filled.perSecond * RATE_SHARE)));
  const load = await stage.pacedLoad();
  let others = filled.requests;
  const run = async (seconds: number): Promise<LoadResult> => {
    const count = Math.ceil(perSecond * seconds);
    const paths = mixOf(pathsOf(others, count));
    others = after(others, count);
    return load({ url: weir.url, connections: CONNECTIONS, perSecond, seconds, paths, fields: {} });
  };
  await run(WARM_SECONDS);
  const evictionsBefore = evictionsOf(await weir.stats());
  const originBefore = await origin.requests();
  const idle = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  idle.enable();
  process.kill(weir.pid, 'SIGUSR2');
  const { latencyMs, failures, requests } = await run(seconds);
  process.kill(weir.pid, 'SIGUSR2');
  idle.disable();
  const turns = await turnsIn(folder, WORKERS + 1);
  const evictions = evictionsOf(await weir.stats()) - evictionsBefore;
  const misses = (await origin.requests()) - originBefore;
  const late = (nanos: number): number => Math.max(0, nanos / NANOS_IN_MS - RESOLUTION_MS);
  return {
    extras: [
      { name: 'loop-p99', value: Math.max(...turns.map(({ p99Ms }) => p99Ms)) },
      { name: 'loop-max', value: Math.max(...turns.map(({ maxMs }) => maxMs)) },
    ],
    note: `Event loops: ${perSecond} requests a second, of which ${misses} of ${requests} were misses, ${evictions} evictions, ${WORKERS} workers; latency p99 ${latencyMs.p99.toFixed(1)} ms; ${turns.map(describe).join(', ')}; an idle loop of the bench at the same time: p99 ${late(idle.percentile(99)).toFixed(1)}, most ${late(idle.max).toFixed(1)} ms.`,
    doubts: [
      ...(failures > 0 ? [`event loops: ${failures} requests failed`] : []),
      ...(evictions === 0 ? ['event loops: nothing was evicted'] : []),
    ],
  };
}

const eachOnce = (from: number): Requests => ({
  kind: 'in-turn',
  prefixes: mixedPrefixes('loops'),
  from,
  items: null,
});

/** Replaces paths at random by popular ones. */
function mixOf(others: readonly string[]): readonly string[] {
  const random = randomNumbers(SEED);
  const popular = pathsOf(POPULAR_REQUESTS, POPULAR);
  return others.map((path) => (random() < POPULAR_SHARE ? popular[Math.floor(random() * POPULAR)]! : path));
}

async function turnsIn(folder: string, threads: number): Promise<readonly Turns[]> {
  const untilMs = performance.now() + REPORT_MS;
  for (;;) {
    const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
    if (files.length >= threads)
      return files.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Turns);
    if (performance.now() > untilMs)
      throw new Error(`${files.length} of ${threads} threads wrote their delays`);
    await delay(LOOK_MS);
  }
}

type Stats = Awaited<ReturnType<Weir['stats']>>;

function evictionsOf({ disk }: Stats): number {
  if (disk === null) throw new Error('the disk tier is off');
  return disk.evictions;
}

function describe({ thread, p99Ms, maxMs }: Turns): string {
  return `${thread} p99 ${p99Ms.toFixed(1)}, most ${maxMs.toFixed(1)} ms`;
}

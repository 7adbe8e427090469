import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { fill } from '../filling.ts';
import type { CommitsAnswer } from '../processes/synced-commits.ts';
import type { Weir } from '../processes/weir.ts';
import { percentile, type Figure } from '../report.ts';
import { measure, type Scenario } from '../scenario.ts';
import { requestBytes, Wire } from '../wire.ts';

const ENTRIES = 20_000;
const CONNECTIONS = 64;
/** Rounds of purges, of commits and invalidations, and of plain admin responses alternate, so that disturbances hit all. */
const BATCH = 10;
/** The tag that every entry has. */
const TAG = 'bench';
/** Unmeasured requests of each kind, in which V8 compiles the code. */
const WARM_BATCHES = 20;
const PURGE = requestBytes('POST', '/purge', { tags: [TAG] });
const HEALTH = requestBytes('GET', '/healthz');

/** Measures one Weir without entries and some with many entries, all of which have the purged tag. */
export const purgeStorm: Scenario = {
  name: 'purge-storm',
  shows:
    'What a purge takes beside a bare synced LMDB commit, and that the number of entries does not matter.',
  async run(stage, { seconds, entries }) {
    const most = entries ?? ENTRIES;
    const sizes = [0, Math.ceil(most / 10), most];
    const origin = await stage.origin();
    const load = await stage.load();
    const rows = [];
    const figures: Figure[] = [];
    const medians: number[] = [];
    for (const size of sizes) {
      const weir = await stage.weir({ originPort: origin.port, workers: 2, memory: '64MiB', disk: '2GiB' });
      await fill(weir, load, '/256/0/', size);
      const commit = await stage.commits(mkdtempSync(join(weir.folder, 'commits-')));
      const taken = await alternate(weir, commit, (seconds * 1000) / 2 / sizes.length);
      const label = `with ${size} entries`;
      medians.push(percentile(taken.purgesMs, 50));
      figures.push(
        ...pair('purge', label, taken.purgesMs),
        ...pair('invalidation', label, taken.invalidationsMs),
        ...pair('bare commit', label, taken.commitsMs),
        ...pair('GET /healthz', label, taken.answersMs),
        toCommit('purge', label, taken.purgesMs, taken),
        toCommit('invalidation', label, taken.invalidationsMs, taken),
      );
      const plan = {
        url: weir.adminUrl,
        connections: CONNECTIONS,
        seconds: seconds / 2 / sizes.length,
        paths: { kind: 'same', path: '/purge' } as const,
        method: 'POST' as const,
        fields: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ tags: [TAG] }),
      };
      rows.push(
        await measure(`${CONNECTIONS} at once, ${label}`, load, plan, { pid: weir.pid, origin: null }),
      );
    }
    figures.push(figure(`purge p50, with ${most} entries / with none`, medians.at(-1)! / medians[0]!, ''));
    return { rows, figures };
  },
};

interface Taken {
  /** Milliseconds in ascending order. */
  readonly purgesMs: readonly number[];
  readonly commitsMs: readonly number[];
  /** Invalidations by a fence in a process of its own: a purge without its HTTP request. */
  readonly invalidationsMs: readonly number[];
  /** Admin requests without work: the HTTP request of a purge alone. */
  readonly answersMs: readonly number[];
}

/** Sends the requests one at a time. */
async function alternate(
  weir: Weir,
  commit: (count: number) => Promise<CommitsAnswer>,
  forMs: number,
): Promise<Taken> {
  const wire = await Wire.open(weir.adminUrl);
  const purgesMs: number[] = [];
  const commitsMs: number[] = [];
  const invalidationsMs: number[] = [];
  const answersMs: number[] = [];
  let until = Number.POSITIVE_INFINITY;
  for (let done = 0; performance.now() < until; done += 1) {
    const purges = await batch(() => wire.time(PURGE));
    const commits = await commit(BATCH);
    const answers = await batch(() => wire.time(HEALTH));
    if (done === WARM_BATCHES) until = performance.now() + forMs;
    if (done < WARM_BATCHES) continue;
    purgesMs.push(...purges);
    commitsMs.push(...commits.commitsMs);
    invalidationsMs.push(...commits.invalidationsMs);
    answersMs.push(...answers);
  }
  wire.close();
  return {
    purgesMs: ascending(purgesMs),
    commitsMs: ascending(commitsMs),
    invalidationsMs: ascending(invalidationsMs),
    answersMs: ascending(answersMs),
  };
}

async function batch(time: () => Promise<number>): Promise<number[]> {
  const tookMs: number[] = [];
  for (let i = 0; i < BATCH; i += 1) tookMs.push(await time());
  return tookMs;
}

function ascending(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

function pair(what: string, label: string, ascendingMs: readonly number[]): Figure[] {
  return [50, 99].map((percent) =>
    figure(`${what} p${percent}, ${label}`, percentile(ascendingMs, percent), 'ms'),
  );
}

/** The aim bounds the 99th percentile. */
function toCommit(what: string, label: string, ascendingMs: readonly number[], taken: Taken): Figure {
  const ratio = percentile(ascendingMs, 99) / percentile(taken.commitsMs, 99);
  return { ...figure(`p99, ${what} / bare commit, ${label}`, ratio, ''), aimAtMost: 3 };
}

function figure(name: string, value: number, unit: string): Figure {
  return { name, value, unit, spread: null, aimAtMost: null };
}

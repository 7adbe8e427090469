import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '../exchange.ts';
import { fill } from '../filling.ts';
import type { Weir } from '../processes/weir.ts';
import { percentile, type Figure } from '../report.ts';
import { measure, type Scenario } from '../scenario.ts';

const ENTRIES = 20_000;
const CONNECTIONS = 64;
/** Purges, then commits, in turn: what disturbs the disk disturbs both. */
const BATCH = 10;
/** Every entry bears it. */
const TAG = 'bench';

/** One Weir with nothing stored and one with many entries, all of which bear the tag that is purged. */
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
        figure(`purge p50, ${label}`, percentile(taken.purgesMs, 50), 'ms'),
        figure(`purge p99, ${label}`, percentile(taken.purgesMs, 99), 'ms'),
        figure(`bare commit p50, ${label}`, percentile(taken.commitsMs, 50), 'ms'),
        figure(`bare commit p99, ${label}`, percentile(taken.commitsMs, 99), 'ms'),
        {
          ...figure(
            `p99, purge / bare commit, ${label}`,
            percentile(taken.purgesMs, 99) / percentile(taken.commitsMs, 99),
            '',
          ),
          aimAtMost: 3,
        },
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
  /** In ascending order. */
  readonly purgesMs: readonly number[];
  readonly commitsMs: readonly number[];
}

/** One purge or commit at a time. */
async function alternate(
  weir: Weir,
  commit: (commits: number) => Promise<readonly number[]>,
  forMs: number,
): Promise<Taken> {
  const client = new Client();
  const purgesMs: number[] = [];
  const commitsMs: number[] = [];
  const until = performance.now() + forMs;
  for (let warm = true; warm || performance.now() < until; warm = false) {
    const batchMs: number[] = [];
    for (let i = 0; i < BATCH; i += 1) {
      const { startedAt, endedAt } = await client.purge(weir.adminUrl, TAG);
      batchMs.push(endedAt - startedAt);
    }
    const committedMs = await commit(BATCH);
    // The first ones pay for connections and for code that was never run.
    if (warm) continue;
    purgesMs.push(...batchMs);
    commitsMs.push(...committedMs);
  }
  client.close();
  return {
    purgesMs: purgesMs.toSorted((a, b) => a - b),
    commitsMs: commitsMs.toSorted((a, b) => a - b),
  };
}

function figure(name: string, value: number, unit: string): Figure {
  return { name, value, unit, spread: null, aimAtMost: null };
}

/** Rounds in which Weir is killed with -9 under load and started again with its files. */
import { rmSync } from 'node:fs';
import * as fc from 'fast-check';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';
import { entriesOf } from './observed.ts';
import { purge, startVersionedOrigin, type VersionedOrigin } from './purging.ts';

export interface KillReport {
  /** Answers older than a purge that had been acknowledged. */
  readonly stale: string[];
  /** Entries on disk that were never purged since, and were fetched again nevertheless. */
  readonly lost: string[];
  readonly purges: number;
  readonly kept: number;
}

const PATHS = Array.from({ length: 12 }, (_, n) => `/things/${n}`);

export async function runKillRounds(rounds: number, seed: number): Promise<KillReport> {
  const random = fc.sample(fc.double({ min: 0, max: 0.999, noNaN: true }), { numRuns: rounds * 200, seed });
  const next = (): number => random.pop() ?? 0;
  const origin = await startVersionedOrigin();
  const report = { stale: [] as string[], lost: [] as string[], purges: 0, kept: 0 };
  const account: Account = { origin, next, known: new Map(), report };
  let folder: string | undefined;
  let onDisk = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    const weir = await startWeir(
      `
        cache: { memory: 8MiB, disk: { path: ./data, size: 64MiB } }
        origins: { app: { url: "${origin.url}" } }
        routes: [{ name: all, match: /* }]
      `,
      folder === undefined ? {} : { folder },
    );
    folder = weir.folder;
    await lookAgain(weir, account, onDisk);
    onDisk = await workUntilKilled(weir, account);
  }
  await origin.close();
  rmSync(folder!, { recursive: true, force: true });
  return report;
}

interface Account {
  readonly origin: VersionedOrigin;
  readonly next: () => number;
  /** The version in the last acknowledged purge of a path. */
  readonly known: Map<string, number>;
  readonly report: { readonly stale: string[]; readonly lost: string[]; purges: number; kept: number };
}

async function get(weir: RunningWeir, account: Account, path: string): Promise<boolean> {
  const known = account.known.get(path) ?? 0;
  const answer = await ask(`${weir.url}${path}`);
  if (answer.status !== 200 || Number(answer.body.split(' ')[1]) < known) {
    account.report.stale.push(
      `${path}: ${answer.status} ${answer.body}, although version ${known} was acknowledged`,
    );
  }
  return cacheStatusOf(answer)['hit'] === true;
}

/** After a start: checks that nothing purged is back, and that what was on disk is there. */
async function lookAgain(weir: RunningWeir, account: Account, onDisk: ReadonlySet<string>): Promise<void> {
  for (const path of PATHS) {
    const isHit = await get(weir, account, path);
    if (!onDisk.has(path)) continue;
    if (isHit) account.report.kept += 1;
    else account.report.lost.push(path);
  }
}

/** Returns what was valid on disk at the kill, except what was being changed. */
async function workUntilKilled(weir: RunningWeir, account: Account): Promise<Set<string>> {
  const { origin, next, known, report } = account;
  const doubtful = new Set<string>();
  const kept = new Set<string>();
  for (const path of PATHS.slice(0, 6)) {
    await get(weir, account, path);
    if (await isOnDisk(weir, path)) kept.add(path);
  }
  const working = Array.from({ length: 4 }, async () => {
    for (let i = 0; i < 1_000; i += 1) {
      const path = PATHS[Math.floor(next() * PATHS.length)]!;
      if (next() < 0.7) await get(weir, account, path);
      else {
        doubtful.add(path);
        origin.change(path);
        const version = origin.versionOf(path);
        await purge(weir, { urls: [path] });
        report.purges += 1;
        known.set(path, Math.max(version, known.get(path) ?? 0));
      }
    }
  });
  // Requests that run when Weir dies get an error.
  const ended = Promise.allSettled(working);
  const until = origin.count() + 1 + Math.floor(next() * 60);
  await Promise.race([origin.seen('*', until), ended]);
  await weir.kill();
  await ended;
  return new Set([...kept].filter((path) => !doubtful.has(path)));
}

async function isOnDisk(weir: RunningWeir, path: string): Promise<boolean> {
  const entries = await entriesOf(weir, path);
  return entries.some(({ levels, usable }) => usable === true && levels.includes('disk'));
}

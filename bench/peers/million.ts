/** Measures Weir with many entries on disk: the time until it is ready after a kill, and its idle memory. */
import { setTimeout as delay } from 'node:timers/promises';
import { memoryMiB } from '../process-memory.ts';
import { Weir } from '../processes/weir.ts';
import type { Stage } from '../scenario.ts';
import { CONNECTIONS } from './filling.ts';
import type { Extra } from './figures.ts';
import { startOrigin } from './origin.ts';
import { entriesAtRest } from './weir.ts';
import { runWrk, type Requests } from './wrk.ts';

const WORKERS = 2;
const KIB = 1024;
/** The least number of entries a second while filling. */
const LEAST_A_SECOND = 200;
const FILL_SECONDS = 5;
/** The start may still work in the background when Weir is ready. */
const IDLE_MS = 15_000;

export interface MillionFigures {
  readonly extras: readonly Extra[];
  readonly note: string;
}

export async function measureMillion(entries: number, stage: Stage): Promise<MillionFigures> {
  const requests = (from: number): Requests => ({
    kind: 'in-turn',
    prefixes: [`/${KIB}/0/million/`],
    from,
    items: null,
  });
  const origin = await startOrigin(stage, { requests: requests(0) });
  const weir = await Weir.start({
    originPort: origin.port,
    workers: WORKERS,
    memory: '64MiB',
    disk: '20GiB',
    profileFolder: null,
  });
  await stage.keep(() => weir.stop());
  const untilMs = performance.now() + (60 + entries / LEAST_A_SECOND) * 1000;
  let stored = 0;
  for (let from = 0; stored < entries; stored = await entriesAtRest(weir)) {
    if (performance.now() > untilMs) throw new Error(`only ${stored} of ${entries} entries came to the disk`);
    const filled = await runWrk({
      url: weir.url,
      connections: CONNECTIONS,
      seconds: FILL_SECONDS,
      requests: requests(from),
      fields: {},
    });
    from += filled.requests + CONNECTIONS;
  }
  const readySeconds = await weir.crash();
  await delay(IDLE_MS);
  return {
    extras: [
      { name: 'million-ready', value: readySeconds },
      { name: 'million-memory', value: memoryMiB(weir.pid) },
    ],
    note: `Entries on disk: ${stored} of 1 KiB; Weir was killed and started again with ${WORKERS} workers; memory is RssAnon and RssShmem after ${IDLE_MS / 1000} s.`,
  };
}

import { setTimeout as delay } from 'node:timers/promises';
import { version } from '../../proxy/version.ts';
import { Weir } from '../processes/weir.ts';
import { onCore, SERVER_CORE } from './place.ts';
import type { Server } from './server.ts';

const LOOK_MS = 100;
const SETTLE_MS = 30_000;

export interface WeirOptions {
  readonly workers: number;
  /** The name in tables. Servers of one row need different titles. */
  readonly title: string;
  /** The folder of CPU profiles; null: none are written. */
  readonly profileFolder: string | null;
}

export function weirServer({ workers, title, profileFolder }: WeirOptions): Server {
  return {
    name: 'weir',
    title,
    async version() {
      return version();
    },
    async start(stage, row, origin) {
      const weir = await Weir.start({
        originPort: origin.port,
        workers,
        memory: row.memory,
        disk: `${row.diskMiB}MiB`,
        profileFolder,
        launcher: onCore(SERVER_CORE),
      });
      await stage.keep(() => weir.stop());
      return { url: weir.url, pid: weir.pid, settled: () => entriesAtRest(weir) };
    },
  };
}

/** Resolves with the number of entries on disk when it has stopped changing, or after 30 s. */
export async function entriesAtRest(weir: Weir): Promise<number> {
  const untilMs = performance.now() + SETTLE_MS;
  let last = -1;
  for (;;) {
    const { disk } = await weir.stats();
    if (disk === null) throw new Error('the disk tier is off');
    if (disk.entries === last || performance.now() > untilMs) return disk.entries;
    last = disk.entries;
    await delay(LOOK_MS);
  }
}

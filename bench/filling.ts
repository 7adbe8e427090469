import type { Load } from './scenario.ts';
import type { Weir } from './processes/weir.ts';

const CONNECTIONS = 32;
/** The longest time for storing; a slower disk fails the scenario. */
const LEAST_A_SECOND = 200;

/** Stores the URLs `prefix0` to `prefix(entries - 1)`. Resolves when all of them are on disk. */
export async function fill(weir: Weir, load: Load, prefix: string, entries: number): Promise<void> {
  const mostSeconds = 30 + entries / LEAST_A_SECOND;
  if (entries > 0) {
    const { failures } = await load({
      url: weir.url,
      connections: Math.min(CONNECTIONS, entries),
      seconds: mostSeconds,
      amount: entries,
      paths: { kind: 'in-turn', prefix, from: 0 },
    });
    if (failures > 0)
      throw new Error(`${failures} of ${entries} requests that were to fill the cache failed`);
  }
  const deadline = performance.now() + mostSeconds * 1000;
  for (;;) {
    const { disk } = await weir.stats();
    if (disk === null) throw new Error('the disk level is off');
    if (disk.entries >= entries) return;
    if (performance.now() > deadline)
      throw new Error(`${disk.entries} of ${entries} entries came to the disk`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

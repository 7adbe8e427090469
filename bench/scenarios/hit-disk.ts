import { fill } from '../filling.ts';
import { CLIENT_FIELDS, measure, type Scenario } from '../scenario.ts';

const CONNECTIONS = 50;
const ENTRIES = 5_000;
const PREFIX = '/4096/0/';
const WARM_UP_REQUESTS = 5_000;

/** The memory tier is off, so that nothing is promoted. The kernel may keep the file's pages in memory. */
export const hitDisk: Scenario = {
  name: 'hit-disk',
  shows: 'What a hit on disk costs: entries of 4 KiB, all as popular.',
  async run(stage, { seconds, seed, entries }) {
    const items = entries ?? ENTRIES;
    const origin = await stage.origin();
    const weir = await stage.weir({ originPort: origin.port, workers: 1, memory: '0', disk: '10GiB' });
    const load = await stage.load();
    await fill(weir, load, PREFIX, items);
    const plan = {
      url: weir.url,
      connections: CONNECTIONS,
      seconds,
      paths: { kind: 'uniform', prefix: PREFIX, items, seed } as const,
      fields: CLIENT_FIELDS,
    };
    await load({ ...plan, amount: WARM_UP_REQUESTS });
    const row = await measure(`weir, ${items} entries`, load, plan, { pid: weir.pid, origin });
    return { rows: [row], figures: [] };
  },
};

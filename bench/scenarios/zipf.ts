import { CLIENT_FIELDS, measure, type Scenario } from '../scenario.ts';

const CONNECTIONS = 50;
const ITEMS = 50_000;
const EXPONENT = 0.9;

/** A Zipf distribution, as web traffic often has, from a cold start. Memory holds a part of the objects, the disk all. */
export const zipf: Scenario = {
  name: 'zipf',
  shows: `Two workers, from a cold start: ${ITEMS} things, the n-th as popular as 1/n^${EXPONENT}, drawn by a seed.`,
  async run(stage, { seconds, seed, entries }) {
    const origin = await stage.origin();
    const weir = await stage.weir({ originPort: origin.port, workers: 2, memory: '64MiB', disk: '2GiB' });
    const load = await stage.load();
    const plan = {
      url: weir.url,
      connections: CONNECTIONS,
      seconds,
      paths: { kind: 'zipf', prefix: '/4096/0/', items: entries ?? ITEMS, exponent: EXPONENT, seed } as const,
      fields: CLIENT_FIELDS,
    };
    return { rows: [await measure('weir', load, plan, { pid: weir.pid, origin })], figures: [] };
  },
};

import { CLIENT_FIELDS, measure, type Scenario } from '../scenario.ts';

const CONNECTIONS = 50;
const WARM_UP_REQUESTS = 2_000;

/** Every request has a path that was not requested before. */
export const miss: Scenario = {
  name: 'miss',
  shows: 'What a miss costs: asked of the origin, passed on and stored in memory and on disk.',
  async run(stage, { seconds }) {
    const origin = await stage.origin();
    const weir = await stage.weir({ originPort: origin.port, workers: 1, memory: '64MiB', disk: '1GiB' });
    const load = await stage.load();
    const plan = (prefix: string) => ({
      url: weir.url,
      connections: CONNECTIONS,
      seconds,
      paths: { kind: 'in-turn', prefix, from: 0 } as const,
      fields: CLIENT_FIELDS,
    });
    await load({ ...plan('/1024/0/warm/'), amount: WARM_UP_REQUESTS });
    const row = await measure('weir', load, plan('/1024/0/'), { pid: weir.pid, origin });
    return { rows: [row], figures: [] };
  },
};

import { CLIENT_FIELDS, measure, type Scenario } from '../scenario.ts';

const CLIENTS = 500;
const ROUNDS_A_SECOND = 1;
/** The origin sends 256 KiB after 200 ms. */
const PREFIX = '/262144/200/';

/** In each round all clients request one path that is not stored. The clients are spread over the workers. */
export const stampede: Scenario = {
  name: 'stampede',
  shows: `${CLIENTS} clients ask two workers at once for one slow thing that is not stored.`,
  async run(stage, { seconds }) {
    const origin = await stage.origin();
    const weir = await stage.weir({ originPort: origin.port, workers: 2, memory: '256MiB', disk: '256MiB' });
    const load = await stage.load();
    const rounds = Math.max(1, Math.round(seconds * ROUNDS_A_SECOND));
    const rows = [];
    for (let round = 1; round <= rounds; round += 1) {
      const plan = {
        url: weir.url,
        connections: CLIENTS,
        seconds,
        amount: CLIENTS,
        paths: { kind: 'same', path: `${PREFIX}${round}` } as const,
        fields: CLIENT_FIELDS,
      };
      rows.push(await measure(`weir ${round}`, load, plan, { pid: weir.pid, origin }));
    }
    const asked = rows.map(({ originRequests }) => originRequests ?? 0);
    const most = Math.max(...asked);
    return {
      rows,
      figures: [
        {
          name: `origin requests for ${CLIENTS} clients`,
          value: most,
          spread: [Math.min(...asked), most],
          unit: '',
          aimAtMost: 1,
        },
      ],
    };
  },
};

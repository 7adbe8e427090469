import { withoutFields } from '../../policies/http/fields.ts';
import { Client } from '../exchange.ts';
import type { BareAnswer } from '../processes/bare-server.ts';
import { spreadOf } from '../report.ts';
import { CLIENT_FIELDS, measure, type Scenario } from '../scenario.ts';

/** The most rounds. There is at most one round a second, because the clock of processor time is too coarse for shorter ones. */
const MOST_ROUNDS = 10;
const CONNECTIONS = 50;
const PATH = '/1024/0/hit';
/** The warm-up, in which V8 compiles the measured code. */
const WARM_UP_REQUESTS = 40_000;
/** Fields that `node:http` adds itself. */
const LISTENERS_OWN: ReadonlySet<string> = new Set(['date', 'connection', 'keep-alive']);

/** Weir has one worker, so that both servers answer in one thread. Rounds alternate, so that disturbances hit both servers. */
export const hitMemory: Scenario = {
  name: 'hit-memory',
  shows: 'What a hit in memory costs beside a bare node:http server that sends the same bytes.',
  async run(stage, { seconds }) {
    const rounds = Math.min(MOST_ROUNDS, Math.max(1, Math.floor(seconds)));
    const origin = await stage.origin();
    const weir = await stage.weir({ originPort: origin.port, workers: 1, memory: '64MiB', disk: '256MiB' });
    const load = await stage.load();
    const bare = await stage.bareServer(await answerOf(`${weir.url}${PATH}`));
    const plan = (url: string) => ({
      url,
      connections: CONNECTIONS,
      seconds: seconds / rounds / 2,
      paths: { kind: 'same', path: PATH } as const,
      fields: CLIENT_FIELDS,
    });
    for (const { url } of [weir, bare]) await load({ ...plan(url), amount: WARM_UP_REQUESTS });
    const rows = [];
    const ratios = [];
    for (let round = 1; round <= rounds; round += 1) {
      const own = await measure(`weir ${round}`, load, plan(weir.url), { pid: weir.pid, origin });
      const other = await measure(`bare ${round}`, load, plan(bare.url), { pid: bare.pid, origin: null });
      rows.push(own, other);
      ratios.push(own.processorMicrosPerRequest / other.processorMicrosPerRequest);
    }
    const ratio = { name: 'processor time, weir / bare', ...spreadOf(ratios), unit: '', aimAtMost: 1.25 };
    return { rows, figures: [ratio] };
  },
};

/** The response of a hit: the second response to the same request. */
async function answerOf(url: string): Promise<BareAnswer> {
  const client = new Client();
  await client.ask(url, { headers: CLIENT_FIELDS });
  const { status, fields, content } = await client.ask(url, { headers: CLIENT_FIELDS });
  client.close();
  return { status, fields: withoutFields(fields, LISTENERS_OWN), content };
}

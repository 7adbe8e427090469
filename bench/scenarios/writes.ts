import type { Weir } from '../processes/weir.ts';
import { measure, type Scenario } from '../scenario.ts';

const CONNECTIONS = 64;
const BODY = 'x'.repeat(1024);
/** The size of the origin's response, and its delay in milliseconds. */
const PREFIX = '/0/0/';

/** Each write has a URL of its own. Weir delivers the journal while it is filled. */
export const writes: Scenario = {
  name: 'writes',
  shows: 'How many writes a second are acknowledged behind, synced, beside the same writes through.',
  async run(stage, { seconds }) {
    const origin = await stage.origin();
    const load = await stage.load();
    const rows = [];
    for (const policy of ['behind', 'through'] as const) {
      const weir: Weir = await stage.weir({
        originPort: origin.port,
        workers: 2,
        memory: '64MiB',
        disk: '256MiB',
        write: `{ policy: ${policy} }`,
      });
      const plan = {
        url: weir.url,
        connections: CONNECTIONS,
        seconds: seconds / 2,
        paths: { kind: 'in-turn', prefix: PREFIX, from: 0 } as const,
        method: 'PUT' as const,
        fields: { 'Content-Type': 'application/octet-stream' },
        body: BODY,
      };
      rows.push(await measure(policy, load, plan, { pid: weir.pid, origin }));
      // Deliveries that are left over would slow the next measurement.
      await weir.stop();
    }
    return { rows, figures: [] };
  },
};

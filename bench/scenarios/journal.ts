import { memoryMiB } from '../process-memory.ts';
import { measure, type Scenario } from '../scenario.ts';

const WRITES = 20_000;
const WRITES_LONG = 1_000_000;
const CONNECTIONS = 64;
const BODY = 'x'.repeat(1024);
/** A port without a listener. */
const NO_ORIGIN_PORT = 1;
/** The longest time for accepting; a slower disk fails the scenario. */
const LEAST_A_SECOND = 200;
const SAMPLE_MS = 250;

/** Each write has a URL of its own, and the origin is not reachable: all writes wait. */
export const journal: Scenario = {
  name: 'journal',
  shows:
    'What a journal of waiting writes costs in memory, and how soon Weir is ready after a crash with it.',
  async run(stage, { entries, long }) {
    const writes = entries ?? (long ? WRITES_LONG : WRITES);
    const load = await stage.load();
    const weir = await stage.weir({
      originPort: NO_ORIGIN_PORT,
      workers: 2,
      memory: '64MiB',
      disk: '256MiB',
      origin: ', breaker: { failures: 1, open: 1h }',
      journal: '{ size: 8GiB }',
      write: '{ policy: behind }',
    });
    const put = (from: number, amount: number) => ({
      url: weir.url,
      connections: CONNECTIONS,
      seconds: 30 + amount / LEAST_A_SECOND,
      amount,
      paths: { kind: 'in-turn', prefix: '/', from } as const,
      method: 'PUT' as const,
      fields: { 'Content-Type': 'application/octet-stream' },
      body: BODY,
    });
    // The first thousands of writes pay for memory that is allocated once.
    const warm = Math.min(writes / 2, 5_000);
    await measure('warm', load, put(0, warm), { pid: weir.pid, origin: null });
    const before = memoryMiB(weir.pid);
    let most = before;
    const sampling = setInterval(() => {
      most = Math.max(most, memoryMiB(weir.pid));
    }, SAMPLE_MS);
    const row = await measure('behind', load, put(warm, writes - warm), { pid: weir.pid, origin: null });
    clearInterval(sampling);
    const after = memoryMiB(weir.pid);
    most = Math.max(most, after);
    const readySeconds = await weir.crash();
    const restarted = memoryMiB(weir.pid);
    const { waiting } = (await weir.stats()).writes;
    return {
      rows: [row],
      figures: [
        figure('writes that wait', waiting, '', null),
        figure('memory before them', before, 'MiB', null),
        figure('growth, at the most', most - before, 'MiB', null),
        figure('growth, when they were there', after - before, 'MiB', 256),
        figure('ready after a crash and a start', readySeconds, 's', 5),
        figure('memory then', restarted, 'MiB', null),
      ],
    };
  },
};

function figure(name: string, value: number, unit: string, aimAtMost: number | null) {
  return { name, value, unit, spread: null, aimAtMost };
}

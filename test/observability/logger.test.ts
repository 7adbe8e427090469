import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { accessLogTo, logTo } from '../../proxy/observability/logger.ts';

/** Collects the lines that are logged, parsed. */
function collected() {
  const lines: Record<string, unknown>[] = [];
  return { lines, write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
}

const RECORD = {
  method: 'GET',
  path: '/products/1',
  status: 200,
  route: 'product',
  outcome: 'hit',
  reason: 'memory',
  bytes: 12,
  durationMs: 0.4,
  client: '127.0.0.1',
  complete: true,
} as const;

describe('the log', () => {
  it('has one line of JSON for each event, with the time, the level in words and the thread', () => {
    const to = collected();
    const log = logTo(to, 'info', 'worker 1');
    log.warn({ event: 'worker-died', worker: 2 });
    log.debug({ event: 'unheard' });
    expect(to.lines).toEqual([
      {
        level: 'warn',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        pid: process.pid,
        thread: 'worker 1',
        event: 'worker-died',
        worker: 2,
      },
    ]);
  });

  it('is empty at the level silent', () => {
    const to = collected();
    logTo(to, 'silent', 'coordinator').fatal({ event: 'unheard' });
    expect(to.lines).toEqual([]);
  });

  it('has one line for a request', () => {
    const to = collected();
    accessLogTo(to, 'worker 0')(RECORD);
    expect(to.lines).toEqual([
      {
        level: 'info',
        time: expect.any(String),
        pid: process.pid,
        thread: 'worker 0',
        event: 'request',
        ...RECORD,
      },
    ]);
  });

  it('loses no line of any thread when the process ends at once', async () => {
    const module = JSON.stringify(new URL('../../proxy/observability/logger.ts', import.meta.url).href);
    const script = `
      const { Worker, isMainThread } = await import('node:worker_threads');
      const { createLog, STANDARD_OUTPUT } = await import(${module});
      const log = createLog({ level: 'info', thread: 'coordinator', fd: STANDARD_OUTPUT });
      const inWorker = "import(" + JSON.stringify(${module}) + ").then(({ createLog }) => {" +
        "const log = createLog({ level: 'info', thread: 'worker', fd: 1 });" +
        "for (let i = 0; i < 500; i++) log.info({ event: 'counted', i, filling: 'x'.repeat(500) });" +
        "require('node:worker_threads').parentPort.postMessage('done'); });";
      const worker = new Worker(inWorker, { eval: true, execArgv: [] });
      for (let i = 0; i < 500; i++) log.info({ event: 'counted', i, filling: 'x'.repeat(500) });
      worker.once('message', () => { log.info({ event: 'last' }); process.exit(0); });`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script]);
    const lines = (await text(child.stdout)).trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { thread: string; event: string; i?: number });
    for (const thread of ['coordinator', 'worker']) {
      const numbers = events.filter((event) => event.thread === thread).flatMap(({ i }) => i ?? []);
      expect(numbers).toEqual(Array.from({ length: 500 }, (_, i) => i));
    }
    expect(events.at(-1)).toMatchObject({ event: 'last' });
  });
});

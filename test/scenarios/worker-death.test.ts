/**
 * Tests the death of a worker: it is replaced and counted, and requests that waited for it get an error or
 * another worker's answer.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfigFile } from '../../proxy/cli/config-file.ts';
import { systemClock } from '../../proxy/threads/clock.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { logTo } from '../../proxy/observability/logger.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { Coordinator } from '../../proxy/runtime/coordinator.ts';
import type { WeirStats } from '../../proxy/runtime/stats.ts';
import { gate } from '../support/barrier.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { ask, askHead, cacheStatusOf, firstBytes, readAll } from './client.ts';

let folder: string;
let origin: ScriptedOrigin;
let weir: InProcessWeir;

/** Weir in this process, with its workers in threads that the test can end. */
interface InProcessWeir {
  readonly url: string;
  readonly lines: readonly string[];
  /** The worker that runs now, for each place. */
  readonly workers: readonly Worker[];
  admin(path: string, init?: RequestInit): Promise<Response>;
  stats(): Promise<WeirStats>;
  /** The claims of flights, by slot: the place of the worker that runs them, plus 1; 0 if there are none. */
  readonly claims: () => Uint32Array;
  /** Ends the worker at this place as a crash would, and resolves when the next one listens there. */
  crash(index: number): Promise<void>;
  stop(): Promise<number>;
}

/**
 * A worker that hangs as in an endless loop, from a message until the first shared cell is no longer 0. It
 * begins only when the other cell is no longer 0.
 */
const HANGING = `
  const { parentPort, workerData } = require('node:worker_threads');
  parentPort.on('message', ({ hang }) => hang && Atomics.wait(hang, 0, 0));
  Atomics.wait(workerData.mayBegin, 0, 0);
  import(workerData.entry);`;

async function startInProcess(): Promise<InProcessWeir> {
  const file = join(folder, 'weir.yaml');
  writeFileSync(
    file,
    `listen: { port: 0, workers: 2 }\nadmin: { port: 0 }\nlog: { level: silent }\nfence: { records: 1000 }\n` +
      `cache: { memory: 16MiB, disk: { path: ./data, size: 16MiB } }\norigins: { app: { url: "${origin.url}" } }\n`,
  );
  const loaded = await readConfigFile({ file, env: {}, feedTypes: FEED_TYPES });
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.errors));
  const workers: Worker[] = [];
  let claims!: Uint32Array;
  const mayBegin = new Int32Array(new SharedArrayBuffer(4)).fill(1);
  const lines: string[] = [];
  const started = await Coordinator.start({
    config: loaded.config,
    clock: systemClock,
    mechanisms: ALL_MECHANISMS,
    log: logTo({ write: (line) => void lines.push(line) }, 'info', 'coordinator'),
    version: 'test',
    newWorker: (entry, workerData) => {
      claims = new Uint32Array(workerData.flightClaims);
      const data = { ...workerData, entry: entry.href, mayBegin };
      const worker = new Worker(HANGING, { eval: true, workerData: data });
      workers[workerData.index] = worker;
      return worker;
    },
  });
  if (started.kind === 'failed') throw new Error(started.reason);
  const admin = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://127.0.0.1:${started.adminPort}${path}`, init);
  const untilReady = async (): Promise<void> => {
    while ((await admin('/readyz')).status !== 200);
  };
  return {
    url: `http://127.0.0.1:${started.port}`,
    lines,
    workers,
    claims: () => claims,
    admin,
    stats: async () => (await (await admin('/stats')).json()) as WeirStats,
    async crash(index) {
      Atomics.store(mayBegin, 0, 0);
      await workers[index]!.terminate();
      expect((await admin('/readyz')).status).toBe(503);
      Atomics.store(mayBegin, 0, 1);
      Atomics.notify(mayBegin, 0);
      await untilReady();
    },
    stop: () => started.coordinator.stop(5_000),
  };
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-death-'));
  origin = await startScriptedOrigin();
  weir = await startInProcess();
});

afterEach(async () => {
  await weir.stop();
  await origin.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The place of the worker that runs the only flight. */
function claimer(): number {
  const claimed = weir.claims().filter((claim) => claim !== 0);
  expect(claimed).toHaveLength(1);
  return claimed[0]! - 1;
}

/** Requests on so many connections that both workers have some. */
const many = <T>(start: () => Promise<T>): Promise<T>[] => Array.from({ length: 16 }, start);

describe('when a worker hangs', () => {
  it('operators see the others, and which one did not answer', async () => {
    origin.on('/a', { fields: ['Cache-Control', 'max-age=60'], body: 'a' });
    await ask(`${weir.url}/a`);
    const { memory } = await weir.stats();
    const hang = new Int32Array(new SharedArrayBuffer(4));
    weir.workers[1]!.postMessage({ kind: 'none', hang });
    try {
      const headers = { 'Content-Type': 'application/json' };
      const body = JSON.stringify({ urls: ['/a'], dryRun: true });
      const [stats, entries, dry, metrics] = await Promise.all([
        weir.stats(),
        weir.admin('/entries?url=/a').then((answer) => answer.json()),
        weir.admin('/purge', { method: 'POST', headers, body }).then((answer) => answer.json()),
        weir.admin('/metrics'),
      ]);
      expect(stats.workers).toEqual({ running: 2, replaced: 0, silent: [1] });
      expect(stats.memory).toEqual(memory);
      expect(entries).toMatchObject({ silent: [1] });
      expect(dry).toMatchObject({ complete: false, silent: [1] });
      expect(metrics.status).toBe(200);
    } finally {
      Atomics.store(hang, 0, 1);
      Atomics.notify(hang, 0);
    }
    const { workers } = await weir.stats();
    expect(workers).toEqual({ running: 2, replaced: 0 });
  });
});

describe('when a worker dies', () => {
  it('another one takes its place, and the death is counted and logged', async () => {
    origin.on('/a', { fields: ['Cache-Control', 'max-age=60'], body: 'a' });
    await ask(`${weir.url}/a`);
    for (const index of [0, 1]) await weir.crash(index);
    const { workers } = await weir.stats();
    expect(workers).toEqual({ running: 2, replaced: 2 });
    expect(weir.lines.filter((line) => line.includes('"worker-died"'))).toHaveLength(2);
    for (const answer of await Promise.all(many(() => ask(`${weir.url}/a`)))) expect(answer.body).toBe('a');
    expect(await (await weir.admin('/metrics')).text()).toContain('\nweir_workers_replaced_total 2\n');
  });

  it('no counter decreases', async () => {
    origin.on('/a', { fields: ['Cache-Control', 'no-store'], body: 'a' });
    await Promise.all(many(() => ask(`${weir.url}/a`)));
    const counters = async () => {
      const { flights, origins } = await weir.stats();
      const metrics = await (await weir.admin('/metrics')).text();
      const requests = [...metrics.matchAll(/^weir_requests_total\{.*\} (\d+)$/gm)];
      return {
        asked: flights.asked,
        origin: origins['app']!.requests,
        requests: requests.reduce((sum, [, value]) => sum + Number(value), 0),
      };
    };
    const before = await counters();
    expect(before.requests).toBe(16);
    expect(before.origin).toBe(16);
    for (const index of [0, 1]) await weir.crash(index);
    expect(await counters()).toEqual(before);
    await ask(`${weir.url}/a`);
    expect((await counters()).requests).toBe(17);
  });

  it('before the head, requests that waited for it in other workers start again', async () => {
    const held = gate();
    let asked = 0;
    origin.on('/late', async (_request, answer) => {
      asked += 1;
      // The first one is lost with the worker.
      if (asked > 1) await held.promise;
      else await answer.gone;
      answer.send(200, ['Cache-Control', 'max-age=60'], 'served');
    });
    const answers = many(() => ask(`${weir.url}/late`).catch(() => null));
    await origin.seen('/late');
    // All of them wait: those of the claimer, those of the other worker, and that worker's for the claimer.
    while ((await weir.stats()).flights.waiting < 17);
    await weir.workers[claimer()]!.terminate();
    await origin.seen('/late', 2);
    held.open();
    const served = (await Promise.all(answers)).filter((answer) => answer !== null);
    expect(served.length).toBeGreaterThan(0);
    expect(served.length).toBeLessThan(16);
    for (const { status, body } of served) expect([status, body]).toEqual([200, 'served']);
    expect(asked).toBe(2);
    while ((await weir.stats()).flights.running > 0);
    expect(weir.claims().every((claim) => claim === 0)).toBe(true);
  });

  it('after the head, they are cut, and nothing is stored', async () => {
    origin.on('/cut', async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'max-age=60', 'Content-Length', '10']);
      await answer.write('half.');
      await answer.gone;
    });
    const messages = await Promise.all(many(() => askHead(`${weir.url}/cut`)));
    const answers = messages.map(readAll);
    await Promise.all(messages.map(firstBytes));
    expect(origin.count()).toBe(1);
    await weir.workers[claimer()]!.terminate();
    for (const answer of await Promise.all(answers)) expect(answer.whole).toBe(false);
    origin.on('/cut', { fields: ['Cache-Control', 'max-age=60'], body: 'whole' });
    const after = await ask(`${weir.url}/cut`);
    expect(after.body).toBe('whole');
    expect(cacheStatusOf(after)).toMatchObject({ fwd: 'uri-miss' });
  });
});

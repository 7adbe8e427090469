/** Tests a reload that has not reached all workers yet. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import type { Config } from '../../policies/config/config.ts';
import { readConfigFile } from '../../proxy/cli/config-file.ts';
import { systemClock } from '../../proxy/threads/clock.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { Coordinator } from '../../proxy/runtime/coordinator.ts';
import { gate } from '../support/barrier.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { ask, cacheStatusOf } from './client.ts';

const FRESH = ['Cache-Control', 'max-age=600'];

/** One Weir in this process with one worker, which gets a reload when the test allows it. */
async function startInProcess(originUrl: string) {
  const folder = mkdtempSync(join(tmpdir(), 'weir-reload-'));
  const file = join(folder, 'weir.yaml');
  const config = async (key: string): Promise<Config> => {
    writeFileSync(
      file,
      `listen: { port: 0, workers: 1 }\nadmin: { port: 0 }\nlog: { level: silent }\nfence: { records: 1000 }\n` +
        `cache: { memory: 16MiB, disk: { path: ./data, size: 16MiB } }\norigins: { app: { url: "${originUrl}" } }\n` +
        `routes: [{ name: page, match: /page, cache: { key: { query: ${key} } } }]\n`,
    );
    const loaded = await readConfigFile({ file, env: {}, feedTypes: FEED_TYPES });
    if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.errors));
    return loaded.config;
  };
  const asked = gate();
  const delivered = gate();
  const started = await Coordinator.start({
    config: await config('{ only: [id] }'),
    clock: systemClock,
    mechanisms: ALL_MECHANISMS,
    log: createLog({ level: 'silent', thread: 'test', fd: 1 }),
    version: 'test',
    newWorker: (entry, workerData) => {
      const worker = new Worker(entry, { workerData });
      const post = worker.postMessage.bind(worker) as (message: unknown, transfer: unknown) => void;
      worker.postMessage = (message: { readonly name?: string }, transfer: unknown) => {
        if (message.name !== 'reload') return post(message, transfer);
        asked.open();
        void delivered.promise.then(() => post(message, transfer));
      };
      return worker;
    },
  });
  if (started.kind === 'failed') throw new Error(started.reason);
  onTestFinished(async () => {
    await started.coordinator.stop(1_000);
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    asked,
    delivered,
    reload: async (key: string) => started.coordinator.reload(await config(key)),
    get: (path: string) => ask(`http://127.0.0.1:${started.port}${path}`),
    purge: async (url: string) => {
      const body = JSON.stringify({ urls: [url] });
      const answer = await fetch(`http://127.0.0.1:${started.adminPort}/purge`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      expect(answer.status).toBe(200);
    },
  };
}

it('a purge in the middle of a reload reaches what was stored by the old rules', async () => {
  let value = 'old';
  const origin = await startScriptedOrigin({ '*': () => ({ fields: FRESH, body: value }) });
  onTestFinished(() => origin.close());
  const weir = await startInProcess(origin.url);
  const page = '/page?id=1&from=mail';
  await weir.get(page);
  const reloading = weir.reload('all');
  await weir.asked.promise;
  // The worker stores the entry by its old rule, without the rest of the query.
  expect((await weir.get(page)).body).toBe('old');
  value = 'new';
  await weir.purge(page);
  expect((await weir.get(page)).body).toBe('new');
  weir.delivered.open();
  expect(await reloading).toEqual({ kind: 'reloaded', invalidatedRoutes: ['page'] });
  await weir.get(page);
  expect(cacheStatusOf(await weir.get(page))).toMatchObject({ hit: true });
});

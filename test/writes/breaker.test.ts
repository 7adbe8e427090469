import { afterEach, describe, expect, it } from 'vitest';
import { createBreaker } from '../../origin-adapters/http/breaker.ts';
import { until } from '../support/barrier.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { idOf, startScene, type Scene } from './setting.ts';

describe('a breaker', () => {
  const config = { failures: 3, openMs: 100 };

  it('opens after the configured number of failures in a row, and not before', () => {
    const breaker = createBreaker(config);
    for (const now of [1, 2]) breaker.failed(now);
    breaker.succeeded();
    for (const now of [3, 4]) breaker.failed(now);
    expect(breaker.admits(5)).toBe(true);
    breaker.failed(5);
    expect(breaker.admits(6)).toBe(false);
    expect(breaker.isOpen(104)).toBe(true);
  });

  it('lets one request through as a trial after its time, and closes if the trial succeeds', () => {
    const breaker = createBreaker(config);
    for (const now of [1, 2, 3]) breaker.failed(now);
    expect([breaker.admits(103), breaker.admits(103), breaker.admits(104)]).toEqual([true, false, false]);
    breaker.succeeded();
    expect([breaker.admits(105), breaker.admits(105)]).toEqual([true, true]);
  });

  it('opens again if the trial fails, and tries again if the trial has no outcome', () => {
    const breaker = createBreaker(config);
    for (const now of [1, 2, 3]) breaker.failed(now);
    expect(breaker.admits(103)).toBe(true);
    breaker.failed(110);
    expect([breaker.admits(209), breaker.admits(210)]).toEqual([false, true]);
    expect([breaker.admits(309), breaker.admits(310)]).toEqual([false, true]);
  });

  it('is shared by all threads that share its memory', () => {
    const buffer = new SharedArrayBuffer(16);
    const [one, other] = [createBreaker(config, buffer), createBreaker(config, buffer)];
    for (const now of [1, 2, 3]) one.failed(now);
    expect(other.admits(4)).toBe(false);
  });
});

describe('an origin with a breaker', () => {
  let scene: Scene;
  afterEach(() => scene.close());

  it('gets no requests while it is open, also no deliveries, and these continue afterwards', async () => {
    scene = await startScene({
      origin: ', breaker: { failures: 3, open: 5s }',
      write: ', retry: { base: 1ms, max: 5ms, attempts: 30 }',
    });
    scene.origin.on('*', { status: 500 });
    const ids = [];
    for (const path of ['/items/1', '/items/2', '/items/3', '/items/4']) {
      ids.push(idOf(await scene.send('PUT', path, 'x')));
    }
    await expect.poll(() => scene.origin.count(), { interval: 10 }).toBeGreaterThanOrEqual(3);
    await expect.poll(async () => (await scene.get('/elsewhere')).status).toBe(503);
    const asked = scene.origin.count();
    expect((await scene.get('/elsewhere')).headers.get('proxy-status')).toContain('destination_unavailable');
    expect(scene.origin.count()).toBe(asked);
    scene.origin.on('*', { status: 204 });
    await expect.poll(async () => (await scene.stats())['waiting']).toBe(0);
    expect((await scene.stats())['dead']).toBe(0);
    expect(scene.origin.requests.at(-1)!.at - scene.origin.requests[2]!.at).toBeGreaterThan(4_900);
  });
});

describe('an origin that is available again', () => {
  let scene: Scene;
  afterEach(() => scene.close());

  it('gets one delivery, then one more at once with each success, and never more than the maximum', async () => {
    scene = await startScene({
      origin: ', breaker: { failures: 1, open: 500ms }',
      write: ', retry: { base: 1ms, max: 5ms, attempts: 1000 }',
      more: 'journal: { deliveries: 4 }',
    });
    let isBack = false;
    let answered = 0;
    const found: { running: number; answered: number }[] = [];
    scene.origin.on('PUT *', async () => {
      if (!isBack) return { status: 500 };
      found.push({ running: scene.origin.running, answered });
      await until(() => scene.origin.running >= Math.min(4, answered + 1, 30 - answered));
      // More deliveries than may run at once would have arrived by then.
      await scene.stats();
      answered += 1;
      return { status: 204 };
    });
    for (let i = 0; i < 30; i += 1) await scene.send('PUT', `/items/${i}`, 'x');
    await expect.poll(async () => (await scene.stats())['delivering']).toBe(0);
    isBack = true;
    await expect.poll(async () => (await scene.stats())['waiting']).toBe(0);
    expect(found.filter(({ running, answered: before }) => running > before + 1)).toEqual([]);
    expect(Math.max(...found.map(({ running }) => running))).toBe(4);
  });
});

describe('requests to an origin', () => {
  let scene: Scene;
  afterEach(() => scene.close());

  it('are counted with deliveries and health checks, also over reloads', async () => {
    scene = await startScene({ origin: ', health: { path: /healthz, interval: 1h }' });
    scene.origin.on('*', { status: 204 });
    const id = idOf(await scene.send('PUT', '/items/1', 'x'));
    await expect.poll(async () => (await scene.write(id))['state']).toBe('done');
    await scene.get('/other');
    const counted = async (): Promise<string | undefined> =>
      /^weir_origin_requests_total\{origin="shop"\} (\d+)$/m.exec(
        await (await scene.weir.admin('/metrics')).text(),
      )?.[1];
    await expect.poll(counted).toBe('3');
    scene.weir.signal('SIGHUP');
    await scene.weir.event('reloaded');
    await scene.origin.seen('/healthz', 2);
    await expect.poll(counted).toBe('4');
  });
});

describe('health checks', () => {
  it('send requests to the healthy URLs', async () => {
    const sick = await startScriptedOrigin({ '/healthz': { status: 503 }, '*': { body: 'sick' } });
    const well = await startScriptedOrigin({ '/healthz': { status: 200 }, '*': { body: 'well' } });
    const weir: RunningWeir = await startWeir(`
      origins: { shop: { url: ["${sick.url}", "${well.url}"], health: { path: /healthz, interval: 5s } } }
      routes: [{ name: all, match: /*, cache: { freshness: none } }]`);
    await weir.event('origin-unhealthy');
    const responses = new Set<string>();
    for (let i = 0; i < 10; i += 1) responses.add(await (await fetch(`${weir.url}/a`)).text());
    expect([...responses]).toEqual(['well']);
    sick.on('/healthz', { status: 200 });
    await weir.event('origin-healthy');
    for (let i = 0; i < 10; i += 1) responses.add(await (await fetch(`${weir.url}/a`)).text());
    expect(responses.has('sick')).toBe(true);
    await weir.stop();
    await sick.close();
    await well.close();
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { createBreaker } from '../../origin-adapters/http/breaker.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { idOf, startScene, type Scene } from './setting.ts';

describe('a breaker', () => {
  const config = { failures: 3, openMs: 100 };

  it('opens after so many failures in a row, and not before', () => {
    const breaker = createBreaker(config);
    for (const now of [1, 2]) breaker.failed(now);
    breaker.succeeded();
    for (const now of [3, 4]) breaker.failed(now);
    expect(breaker.admits(5)).toBe(true);
    breaker.failed(5);
    expect(breaker.admits(6)).toBe(false);
    expect(breaker.isOpen(104)).toBe(true);
  });

  it('lets one through as a trial when its time is over, and closes where that succeeds', () => {
    const breaker = createBreaker(config);
    for (const now of [1, 2, 3]) breaker.failed(now);
    expect([breaker.admits(103), breaker.admits(103), breaker.admits(104)]).toEqual([true, false, false]);
    breaker.succeeded();
    expect([breaker.admits(105), breaker.admits(105)]).toEqual([true, true]);
  });

  it('opens again where the trial fails, and tries again where it comes to nothing', () => {
    const breaker = createBreaker(config);
    for (const now of [1, 2, 3]) breaker.failed(now);
    expect(breaker.admits(103)).toBe(true);
    breaker.failed(110);
    expect([breaker.admits(209), breaker.admits(210)]).toEqual([false, true]);
    expect([breaker.admits(309), breaker.admits(310)]).toEqual([false, true]);
  });

  it('is one for all threads that share its memory', () => {
    const buffer = new SharedArrayBuffer(16);
    const [one, other] = [createBreaker(config, buffer), createBreaker(config, buffer)];
    for (const now of [1, 2, 3]) one.failed(now);
    expect(other.admits(4)).toBe(false);
  });
});

describe('an origin with a breaker', () => {
  let scene: Scene;
  afterEach(() => scene.close());

  it('is left alone, by deliveries too, and these go on when it is back', async () => {
    scene = await startScene({
      origin: ', breaker: { failures: 3, open: 700ms }',
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
    await expect.poll(async () => (await scene.stats())['waiting'], { timeout: 10_000 }).toBe(0);
    expect((await scene.stats())['dead']).toBe(0);
    expect(scene.origin.requests.at(-1)!.at - scene.origin.requests[2]!.at).toBeGreaterThan(600);
  });
});

describe('health checks', () => {
  it('send requests to the URLs that are well', async () => {
    const sick = await startScriptedOrigin({ '/healthz': { status: 503 }, '*': { body: 'sick' } });
    const well = await startScriptedOrigin({ '/healthz': { status: 200 }, '*': { body: 'well' } });
    const weir: RunningWeir = await startWeir(`
      origins: { shop: { url: ["${sick.url}", "${well.url}"], health: { path: /healthz, interval: 100ms } } }
      routes: [{ name: all, match: /*, cache: { freshness: none } }]`);
    await weir.event('origin-unwell');
    const answers = new Set<string>();
    for (let i = 0; i < 10; i += 1) answers.add(await (await fetch(`${weir.url}/a`)).text());
    expect([...answers]).toEqual(['well']);
    sick.on('/healthz', { status: 200 });
    await weir.event('origin-well');
    for (let i = 0; i < 10; i += 1) answers.add(await (await fetch(`${weir.url}/a`)).text());
    expect(answers.has('sick')).toBe(true);
    await weir.stop();
    await sick.close();
    await well.close();
  });
});

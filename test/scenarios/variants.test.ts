/** Variants of one URL, over all workers and tiers. */
import { expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';
import { entriesOf } from './observed.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 2 }
    cache: { memory: 16MiB, disk: { path: ./data, size: 64MiB } }
    origins: { app: { url: "${url}" } }
    routes: [{ name: all, match: /*, cache: { max-variants: 2, max-vary: 1KiB } }]
  `,
  (started) => ({ origin, weir } = started),
);

const stored = async (path: string): Promise<number> => (await entriesOf(weir, path)).length;

it('variants are no more than max-variants, whichever worker has stored them', async () => {
  origin.on('*', ({ headers }) => ({
    fields: ['Cache-Control', 'max-age=3600', 'Vary', 'Foo'],
    body: String(headers['foo']),
  }));
  const paths = ['/a', '/b', '/c', '/d', '/e', '/f'];
  for (const path of paths) {
    for (const foo of ['1', '2', '3', '4', '5', '6']) {
      expect((await ask(`${weir.url}${path}`, { headers: { foo } })).body).toBe(foo);
    }
  }
  const all = (): Promise<number[]> => Promise.all(paths.map(stored));
  await expect.poll(all).toEqual(paths.map(() => 2));
});

it('variants are not stored for requests that send more than max-vary, which is counted, and remain for others', async () => {
  origin.on('/large', ({ headers }) => ({
    fields: ['Cache-Control', 'max-age=3600', 'Vary', 'Accept-Encoding'],
    body: String(headers['accept-encoding']).slice(0, 4),
  }));
  const get = (coding: string) => ask(`${weir.url}/large`, { headers: { 'accept-encoding': coding } });
  for (const i of Array.from({ length: 20 }).keys()) {
    const answer = await get(`c${i % 10},${'x'.repeat(20_000)}`);
    expect(cacheStatusOf(answer).detail).toMatch(/^(vary-too-large|uncacheable)$/);
  }
  expect(await stored('/large')).toBe(0);
  await get('gzip');
  await expect.poll(async () => cacheStatusOf(await get('gzip')).hit).toBe(true);
  await get(`br,${'x'.repeat(20_000)}`);
  expect(cacheStatusOf(await get('gzip')).hit).toBe(true);
  expect(await stored('/large')).toBe(1);
  expect(await (await weir.admin('/metrics')).text()).toMatch(/reason="vary-too-large"[^\n]* [1-9]/);
});

import { expect, it } from 'vitest';
import { journalConnections, workerConnections } from '../../proxy/origins/connection-shares.ts';
import { configOf } from '../config/load.ts';
import { gate } from '../support/barrier.ts';
import { startScene, type Scene } from '../writes/setting.ts';

it.each([
  ['around', 128, 2, [64, 64]],
  ['around', 5, 2, [3, 2]],
  ['around', 1, 2, [1, 1]],
  ['behind', 128, 2, [56, 56, 16]],
  ['behind', 20, 3, [5, 5, 5, 5]],
  ['behind', 4, 2, [2, 1, 1]],
  ['behind', 1, 2, [1, 1, 1]],
])(
  'for a route with write policy %s, %i connections are shared by %i workers as %j',
  (policy, connections, workers, shares) => {
    const config = configOf(`
    origins: { shop: { url: "http://127.0.0.1:1", connections: ${connections} } }
    routes: [{ name: item, match: /*, write: { policy: ${policy} } }]`);
    const origin = config.origins['shop']!;
    const indexes = Array.from({ length: workers }, (_, index) => index);
    const own = indexes.map((index) => workerConnections(config, origin, { index, workers }));
    const journal = policy === 'behind' ? [journalConnections(config, origin, workers)] : [];
    expect([...own, ...journal]).toEqual(shares);
  },
);

it('an origin gets no more concurrent requests than its connection limit, including those of the journal', async () => {
  const scene = await startScene({
    origin: ', connections: 3, queue: { timeout: 60s }',
    more: 'listen: { port: 0, workers: 1 }',
    before: ['- { name: sent, match: "/sent/{id}", origin: shop, write: { policy: around } }'],
  });
  const { origin } = scene;
  const held = gate();
  origin.on('PUT *', async () => {
    await held.promise;
    return { status: 204 };
  });
  const send = (path: string) => Array.from({ length: 6 }, (_, i) => scene.send('PUT', `${path}/${i}`, 'x'));
  await Promise.all(send('/items'));
  const sent = send('/sent');
  await expect.poll(async () => await metric(scene, 'weir_origin_queued')).toBe(4);
  await expect.poll(() => origin.running).toBe(3);
  held.open();
  await Promise.all(sent);
  await expect.poll(async () => (await scene.stats())['waiting']).toBe(0);
  expect(origin.maxRunning).toBe(3);
  await scene.close();
});

async function metric({ weir }: Scene, name: string): Promise<number> {
  const text = await (await weir.admin('/metrics')).text();
  return Number(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'm').exec(text)?.[1]);
}

/** Invalidations faster than the origin answers: no client waits for ever, and the origin is not flooded. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startWeir } from '../support/weir.ts';
import { ask } from './client.ts';
import { purge, startVersionedOrigin } from './purging.ts';

const KEYS = 3;
const CLIENTS = 12;
const ORIGIN_MS = 200;
const STORM_MS = 3_000;

it('a storm of purges of a prefix costs each key two requests at a time, and every client is answered', async () => {
  const origin = await startVersionedOrigin();
  const running = new Map<string, number>();
  let most = 0;
  origin.on('*', async ({ url }) => {
    const now = (running.get(url) ?? 0) + 1;
    running.set(url, now);
    most = Math.max(most, now);
    await delay(ORIGIN_MS);
    running.set(url, running.get(url)! - 1);
    return { fields: ['Cache-Control', 'max-age=60'], body: 'content' };
  });
  const weir = await startWeir(`
    origins: { app: { url: "${origin.url}" } }
    routes: [{ name: all, match: /* }]
  `);
  const storm = { isOver: false };
  let purges = 0;
  const purger = async (): Promise<void> => {
    while (!storm.isOver) {
      await purge(weir, { prefixes: ['/hot'] });
      purges += 1;
    }
  };
  const statuses: number[] = [];
  const client = async (n: number): Promise<void> => {
    while (!storm.isOver) statuses.push((await ask(`${weir.url}/hot/${n % KEYS}`)).status);
  };
  const all = [
    ...Array.from({ length: 8 }, purger),
    ...Array.from({ length: CLIENTS }, (_, n) => client(n)),
    delay(STORM_MS).then(() => (storm.isOver = true)),
  ];
  await Promise.all(all);
  expect(purges).toBeGreaterThan(100);
  expect(statuses.length).toBeGreaterThanOrEqual(CLIENTS);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(most).toBeLessThanOrEqual(2);
  const { flights } = (await weir.stats()) as {
    flights: { waiting: number; running: number; outrun: number };
  };
  expect(flights).toMatchObject({ waiting: 0, running: 0 });
  expect(flights.outrun).toBeGreaterThan(0);
  await weir.stop();
  await origin.close();
});

/** One GiB for ten clients of different speeds on two workers: one request to the origin, and bounded memory. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { memoryOf } from '../support/process-memory.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir } from '../support/weir.ts';
import { ask, askHead, cacheStatusOf } from '../scenarios/client.ts';

const MIB = 2 ** 20;
const SIZE = 1024 * MIB;
const CHUNK = Buffer.alloc(MIB, 'abcdefghijklmnop');

/** Reads to the end, as a slow client with a pause of `pauseMs` after every MiB. */
async function lengthOf(message: IncomingMessage, pauseMs: number): Promise<number> {
  let length = 0;
  let paused = 0;
  for await (const chunk of message) {
    length += (chunk as Buffer).length;
    if (pauseMs > 0 && length - paused >= MIB) {
      paused = length;
      await delay(pauseMs);
    }
  }
  return length;
}

it('a body of one GiB costs one request and less than 150 MiB, is sent on as it arrives, and is on disk afterwards', async () => {
  let firstWasSeen: () => void = () => {};
  const seen = new Promise<void>((resolve) => (firstWasSeen = resolve));
  const origin = await startScriptedOrigin();
  origin.on('GET /large', async (_request, answer) => {
    const length = String(SIZE);
    answer.head(200, ['Cache-Control', 'max-age=3600', 'ETag', '"1"', 'Content-Length', length]);
    await answer.write(CHUNK);
    // The rest is sent only after a client has received the beginning.
    await seen;
    for (let sent = MIB; sent < SIZE; sent += MIB) await answer.write(CHUNK);
    answer.end();
  });
  const weir = await startWeir(`
    cache: { memory: 64MiB, disk: { path: ./data, size: 4GiB }, max-object: 2GiB }
    origins: { app: { url: "${origin.url}" } }
  `);
  for (let i = 0; i < 50; i += 1) await ask(`${weir.url}/something-else`);
  const before = memoryOf(weir.pid);
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, memoryOf(weir.pid) - before)), 50);
  const messages = await Promise.all(Array.from({ length: 10 }, () => askHead(`${weir.url}/large`)));
  messages[0]!.once('readable', firstWasSeen);
  const lengths = await Promise.all(messages.map((message, n) => lengthOf(message, n * 4)));
  clearInterval(watch);
  expect(new Set(lengths)).toEqual(new Set([SIZE]));
  expect(origin.count('GET /large')).toBe(1);
  expect(most).toBeLessThan(150 * MIB);
  const range = await ask(`${weir.url}/large`, {
    headers: { range: `bytes=${700 * MIB}-${700 * MIB + 15}` },
  });
  expect(range).toMatchObject({ status: 206, body: 'abcdefghijklmnop' });
  expect(cacheStatusOf(range)).toMatchObject({ hit: true });
  expect(origin.count('GET /large')).toBe(1);
  await weir.stop();
  await origin.close();
});

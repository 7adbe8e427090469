import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

/** In no test: heads are told when a test says so. */
const NEVER_MS = 2 ** 30;

let feed: EventStreamServer;
/** Of another log, of whose changes no answer says whether it shows them. */
let others: EventStreamServer;
let origin: Server;
let weir: RunningWeir;
let requests = 0;

beforeAll(async () => {
  feed = new EventStreamServer(NEVER_MS);
  others = new EventStreamServer(NEVER_MS);
  await Promise.all([feed.start(), others.start()]);
  origin = createServer((request, response) => {
    if (request.method === 'GET') requests += 1;
    // A replica that shows what the feed has told, and nothing later.
    response.setHeader('X-Version', String(feed.lastId)).end('x');
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  const cache = 'freshness: until-changed, feed: changes, tags: ["item:{id}"], version-header: X-Version';
  weir = await startWeir(`
    origins: { shop: { url: "http://127.0.0.1:${(origin.address() as AddressInfo).port}" } }
    feeds:
      changes: { type: sse, url: "${feed.url}", max-silence: 10m, map: [{ invalidate: { tags: ["item:{id}"] } }] }
      others: { type: sse, url: "${others.url}", max-silence: 10m, map: [{ invalidate: { tags: ["item:{id}"] } }] }
    routes:
      - { name: around, match: "/around/{id}", cache: { ${cache} } }
      - { name: through, match: "/through/{id}", cache: { ${cache} }, write: { policy: through } }
      - name: behind
        match: "/behind/{id}"
        cache: { ${cache} }
        write: { policy: behind }`);
  while (weir.lines.filter((line) => line.includes('the feed is live')).length < 2) await weir.stats();
  await told('0');
  await untilReused('/around/0');
});

afterAll(async () => {
  await weir.stop();
  await Promise.all([feed.stop(), others.stop()]);
  origin.closeAllConnections();
  origin.close();
});

beforeEach(() => {
  requests = 0;
});

/** Resolves when it is in force. */
async function told(id: string, by = feed): Promise<void> {
  by.publish(() => JSON.stringify({ id }));
  for (;;) {
    const { feeds } = (await (await weir.admin('/feeds')).json()) as { feeds: { position: string | null }[] };
    if (feeds[by === feed ? 0 : 1]!.position === String(by.lastId)) return;
  }
}

/** Whether answers to that path are used again, on two workers. */
async function isReused(path: string): Promise<boolean> {
  const before = requests;
  for (let i = 0; i < 4; i += 1) await (await fetch(`${weir.url}${path}`)).text();
  return requests - before < 4;
}

/** The feed proves to be at its head, until that has come to the workers. */
async function untilReused(path: string): Promise<void> {
  do feed.beat();
  while (!(await isReused(path)));
}

describe('an origin that attests what its answers show', () => {
  it.each([
    ['a write around', '/around/1', () => fetch(`${weir.url}/around/1`, { method: 'PUT', body: 'y' })],
    ['a write through', '/through/1', () => fetch(`${weir.url}/through/1`, { method: 'PUT', body: 'y' })],
    [
      'a purge',
      '/around/2',
      () => weir.admin('/purge', { method: 'POST', body: JSON.stringify({ tags: ['item:2'] }) }),
    ],
  ])('is not believed after %s before the feed was at its head again', async (_name, path, change) => {
    await told('3');
    expect(await isReused(path)).toBe(true);
    expect((await change()).status).toBe(200);
    expect(await isReused(path)).toBe(false);
    await told('3');
    // What else the feed tells meanwhile need not have come after it.
    expect(await isReused(path)).toBe(false);
    await untilReused(path);
  });

  it('is not believed after a change that another feed told, before its own was at its head again', async () => {
    expect(await isReused('/around/6')).toBe(true);
    await told('6', others);
    expect(await isReused('/around/6')).toBe(false);
    await untilReused('/around/6');
  });

  it('is not believed after a write behind was delivered, before the feed was at its head again', async () => {
    const accepted = await fetch(`${weir.url}/behind/1`, { method: 'PUT', body: 'y' });
    const { id } = (await accepted.json()) as { id: string };
    for (;;) {
      const { state } = (await (await weir.admin(`/writes/${id}`)).json()) as { state: string };
      if (state === 'done') break;
    }
    expect(await isReused('/behind/1')).toBe(false);
    await untilReused('/behind/1');
  });

  it('is believed at once after a change that the feed itself told', async () => {
    expect(await isReused('/around/5')).toBe(true);
    await told('5');
    expect(await isReused('/around/5')).toBe(true);
  });
});

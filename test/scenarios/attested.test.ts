import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

/** Longer than any test: heads are sent when a test asks for them. */
const NEVER_MS = 2 ** 30;

let feed: EventStreamServer;
/** Another log. Answers do not attest whether they show its changes. */
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
    // A replica that shows the changes that the feed has sent, and no later ones.
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
  await announce('0');
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

/** Resolves when the change is in force. */
async function announce(id: string, by = feed): Promise<void> {
  by.publish(() => JSON.stringify({ id }));
  for (;;) {
    const { feeds } = (await (await weir.admin('/feeds')).json()) as { feeds: { position: string | null }[] };
    if (feeds[by === feed ? 0 : 1]!.position === String(by.lastId)) return;
  }
}

/** Whether answers for the path are reused, on two workers. */
async function isReused(path: string): Promise<boolean> {
  const before = requests;
  for (let i = 0; i < 4; i += 1) await (await fetch(`${weir.url}${path}`)).text();
  return requests - before < 4;
}

/** The feed sends its head, until the workers know of it. */
async function untilReused(path: string): Promise<void> {
  do feed.beat();
  while (!(await isReused(path)));
}

describe('an answer that attests what it shows', () => {
  it.each([
    ['a write around', '/around/1', () => fetch(`${weir.url}/around/1`, { method: 'PUT', body: 'y' })],
    ['a write through', '/through/1', () => fetch(`${weir.url}/through/1`, { method: 'PUT', body: 'y' })],
    [
      'a purge',
      '/around/2',
      () => weir.admin('/purge', { method: 'POST', body: JSON.stringify({ tags: ['item:2'] }) }),
    ],
  ])('is not reused after %s before the feed was at its head again', async (_name, path, change) => {
    await announce('3');
    expect(await isReused(path)).toBe(true);
    expect((await change()).status).toBe(200);
    expect(await isReused(path)).toBe(false);
    await announce('3');
    // Events that the feed sends meanwhile may be older than the write.
    expect(await isReused(path)).toBe(false);
    await untilReused(path);
  });

  it('is not reused after a change from another feed, before its own was at its head again', async () => {
    expect(await isReused('/around/6')).toBe(true);
    await announce('6', others);
    expect(await isReused('/around/6')).toBe(false);
    await untilReused('/around/6');
  });

  it('is not reused after the delivery of a write behind, before the feed was at its head again', async () => {
    const accepted = await fetch(`${weir.url}/behind/1`, { method: 'PUT', body: 'y' });
    const { id } = (await accepted.json()) as { id: string };
    for (;;) {
      const { state } = (await (await weir.admin(`/writes/${id}`)).json()) as { state: string };
      if (state === 'done') break;
    }
    expect(await isReused('/behind/1')).toBe(false);
    await untilReused('/behind/1');
  });

  it('is reused at once after a change from the feed itself', async () => {
    expect(await isReused('/around/5')).toBe(true);
    await announce('5');
    expect(await isReused('/around/5')).toBe(true);
  });
});

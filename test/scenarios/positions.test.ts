import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

let feed: EventStreamServer;
let origin: Server;
let weir: RunningWeir;
/** What the origin does in the test that runs. */
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  feed = new EventStreamServer(50);
  await feed.start();
  origin = createServer((request, response) => answer(request, response));
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  const tracked = 'freshness: until-changed, feed: changes, tags: ["item:{id}"]';
  weir = await startWeir(`
    origins: { shop: { url: "http://127.0.0.1:${(origin.address() as AddressInfo).port}" } }
    feeds:
      changes: { type: sse, url: "${feed.url}", max-silence: 5s, map: [{ invalidate: { tags: ["item:{id}"] } }] }
    routes:
      - { name: items, match: "/items/{id}", cache: { ${tracked}, position-header: true, position-wait: 20s } }
      - { name: brief, match: "/brief/{id}", cache: { ${tracked}, position-header: true, position-wait: 50ms } }
      - name: attested
        match: "/attested/{id}"
        cache: { ${tracked}, position-header: true, version-header: X-Version }`);
  await reached(null);
  // At its head it knows the place once a change came.
  await change('0');
});

afterAll(async () => {
  await weir.stop();
  await feed.stop();
  origin.closeAllConnections();
  origin.close();
});

/** null: the feed is live, wherever that is. */
async function reached(id: number | null): Promise<void> {
  for (;;) {
    const { feeds } = (await (await weir.admin('/feeds')).json()) as {
      feeds: { position: string | null; state: string }[];
    };
    const isThere = id === null || Number(feeds[0]!.position) >= id;
    if (isThere && feeds[0]!.state === 'live') return;
  }
}

/** Resolves when it is in force. */
async function change(id: string): Promise<void> {
  feed.publish(() => JSON.stringify({ id }));
  await reached(feed.lastId);
}

function get(path: string, minimum?: string): Promise<Response> {
  return fetch(`${weir.url}${path}`, {
    headers: minimum === undefined ? {} : { 'weir-min-position': minimum },
  });
}

const here = (): string => `changes=${feed.lastId}`;
const position = (response: Response): string | null => response.headers.get('weir-position');
const status = (response: Response): string => response.headers.get('cache-status')!;

/** On whichever worker: until one of them has it. */
async function hit(path: string): Promise<Response> {
  for (;;) {
    const response = await get(path);
    if (status(response).includes('; hit')) return response;
  }
}

describe('position-header', () => {
  it('says on hits and misses how far the feed had got', async () => {
    answer = (_request, response) => response.end('x');
    expect(position(await get('/items/1'))).toBe(here());
    await change('0');
    expect(position(await hit('/items/1'))).toBe(here());
  });

  it('lets a request wait for a position, and shows what was written before it', async () => {
    let version = 1;
    answer = (_request, response) => response.end(String(version));
    await hit('/items/2');
    version = 2;
    const waiting = get('/items/2', `changes=${feed.lastId + 1}`);
    await change('2');
    const response = await waiting;
    expect(await response.text()).toBe('2');
    expect(position(response)).toBe(here());
  });

  it.each([
    ['that does not come in time', 'changes=99'],
    ['of a feed that is not there', 'other=1'],
    ['that has no order', 'changes=x'],
    ['that is no position', 'nonsense'],
  ])('asks the origin for a position %s', async (_name, minimum) => {
    let version = 1;
    answer = (_request, response) => response.end(String(version));
    await change('3');
    await hit('/brief/3');
    version = 2;
    const response = await get('/brief/3', minimum);
    expect(await response.text()).toBe('2');
    expect(status(response)).toContain('detail=position');
  });

  it('names on the answer to a write a position that includes it', async () => {
    answer = (request, response) => {
      if (request.method === 'PUT') feed.publish(() => '{"id":4}');
      response.end('x');
    };
    const written = await fetch(`${weir.url}/items/4`, { method: 'PUT', body: 'y' });
    expect(position(written)).toBe(here());
  });

  it('takes the position of a write from the origin where that names it', async () => {
    answer = (_request, response) => response.setHeader('X-Version', '1700').end('x');
    const written = await fetch(`${weir.url}/attested/4`, { method: 'PUT', body: 'y' });
    expect(position(written)).toBe('changes=1700');
  });
});

describe('version-header', () => {
  it('lets an answer that is older than the feed be used by nobody else', async () => {
    let attested = String(feed.lastId - 1);
    let requests = 0;
    answer = (_request, response) => {
      requests += 1;
      response.setHeader('X-Version', attested).end('x');
    };
    const older = await get('/attested/5');
    expect([older.status, position(older)]).toEqual([200, null]);
    await get('/attested/5');
    await get('/attested/5');
    expect(requests).toBe(3);
    attested = String(feed.lastId);
    expect(position(await get('/attested/5'))).toBe(here());
    await hit('/attested/5');
  });

  it('lets an answer that does not say how current it is be used by nobody else', async () => {
    let requests = 0;
    answer = (_request, response) => {
      requests += 1;
      response.end('x');
    };
    for (let i = 0; i < 4; i += 1) await get('/attested/6');
    expect(requests).toBe(4);
  });
});

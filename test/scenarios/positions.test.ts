import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { gate } from '../support/barrier.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

let feed: EventStreamServer;
let origin: Server;
let weir: RunningWeir;
/** The origin's answers in the current test. */
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
      changes: { type: sse, url: "${feed.url}", max-silence: 30s, map: [{ invalidate: { tags: ["item:{id}"] } }] }
      versions:
        type: sse
        url: "${feed.url}"
        max-silence: 30s
        version-field: row.version
        map: [{ invalidate: { tags: ["versioned:{id}"] } }]
      hooks: { type: webhook, path: /hooks, secret: secret, max-silence: 30s }
    routes:
      - { name: items, match: "/items/{id}", cache: { ${tracked}, position-header: true, position-wait: 20s } }
      - { name: brief, match: "/brief/{id}", cache: { ${tracked}, position-header: true, position-wait: 50ms } }
      - name: hooked
        match: "/hooked/{id}"
        cache: { freshness: until-changed, feed: hooks, position-header: true, position-wait: 20s }
      - { name: later, match: "/later/{id}", cache: { ${tracked}, position-header: true }, write: { policy: behind } }
      - name: attested
        match: "/attested/{id}"
        cache: { ${tracked}, position-header: true, version-header: X-Version }
      - name: versioned
        match: "/versioned/{id}"
        cache:
          freshness: until-changed
          feed: versions
          tags: ["versioned:{id}"]
          position-header: true
          position-wait: 20s
          version-header: X-Version`);
  await reached(null);
  // At its head the feed knows the position once a change arrived.
  await change('0', 1);
  // With its gap at the start each feed was ahead of the other.
  answer = (_request, response) => response.setHeader('X-Version', '9999').end('x');
  for (const path of ['/attested/0', '/versioned/0']) while (position(await get(path)) === null);
});

afterAll(async () => {
  await weir.stop();
  await feed.stop();
  origin.closeAllConnections();
  origin.close();
});

/** `id` null: the feed is live, at any position. */
async function reached(id: number | null): Promise<void> {
  for (;;) {
    const { feeds } = (await (await weir.admin('/feeds')).json()) as {
      feeds: { type: string; position: string | null; state: string }[];
    };
    const areThere = feeds.every(
      ({ type, position }) => id === null || type === 'webhook' || Number(position) >= id,
    );
    if (areThere && feeds.every((one) => one.state === 'live')) return;
  }
}

/** Resolves when the change is in force. */
async function change(id: string, version?: number): Promise<void> {
  feed.publish(() => JSON.stringify({ id, row: { version } }));
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

/** Repeats until one worker answers from its cache. */
async function hit(path: string): Promise<Response> {
  for (;;) {
    const response = await get(path);
    if (status(response).includes('; hit')) return response;
  }
}

describe('position-header', () => {
  it('states on hits and misses the position of the feed', async () => {
    answer = (_request, response) => response.end('x');
    expect(position(await get('/items/1'))).toBe(here());
    await change('0');
    expect(position(await hit('/items/1'))).toBe(here());
  });

  it('lets a request wait for a position, and serves what was written before it', async () => {
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
    ['that is not reached in time', 'changes=99'],
    ['of an unknown feed', 'other=1'],
    ['without an order', 'changes=x'],
    ['that is malformed', 'nonsense'],
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

  it('states on the answer to a write a position that includes the write', async () => {
    answer = (request, response) => {
      if (request.method === 'PUT') feed.publish(() => '{"id":4}');
      response.end('x');
    };
    const written = await fetch(`${weir.url}/items/4`, { method: 'PUT', body: 'y' });
    expect(position(written)).toBe(here());
  });

  it('states none on the answer to a write whose change the feed may not have received yet', async () => {
    answer = (_request, response) => response.end('x');
    expect(position(await get('/hooked/1'))).toMatch(/^hooks=/);
    const written = await fetch(`${weir.url}/hooked/1`, { method: 'PUT', body: 'y' });
    expect([written.status, position(written)]).toEqual([200, null]);
  });

  it('uses the position that the origin states for a write', async () => {
    answer = (_request, response) => response.setHeader('X-Version', '1700').end('x');
    const written = await fetch(`${weir.url}/attested/4`, { method: 'PUT', body: 'y' });
    expect(position(written)).toBe('changes=1700');
  });
});

describe('a write behind', () => {
  it('gets no position, because none includes it yet', async () => {
    const delivered = gate();
    answer = (_request, response) => {
      response.setHeader('X-Version', '1').end('x');
      delivered.open();
    };
    const accepted = await fetch(`${weir.url}/later/1`, { method: 'PUT', body: 'y' });
    expect([accepted.status, position(accepted)]).toEqual([202, null]);
    expect(accepted.headers.get('weir-write')).not.toBeNull();
    await delivered.promise;
  });
});

describe('version-header', () => {
  it('gives an answer that is older than the feed to no other client', async () => {
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

  it('gives an answer that does not state how current it is to no other client', async () => {
    let requests = 0;
    answer = (_request, response) => {
      requests += 1;
      response.end('x');
    };
    for (let i = 0; i < 4; i += 1) await get('/attested/6');
    expect(requests).toBe(4);
  });
});

describe("version-header with the feed's version-field", () => {
  let attested = '';
  let requests = 0;

  function attest(): void {
    requests = 0;
    answer = (_request, response) => {
      requests += 1;
      if (attested !== '') response.setHeader('X-Version', attested);
      response.end('x');
    };
  }

  /** Whether answers for the path are reused. */
  async function isReused(path: string): Promise<boolean> {
    attest();
    for (let i = 0; i < 3; i += 1) await get(path);
    return requests < 3;
  }

  it('shares an answer once it shows the highest version that the feed has sent', async () => {
    await change('7', 1700);
    await change('8', 1699);
    attested = '1699';
    expect(await isReused('/versioned/7')).toBe(false);
    expect(position(await get('/versioned/7'))).toBeNull();
    attested = '';
    expect(await isReused('/versioned/7')).toBe(false);
    attested = '1700';
    expect(position(await get('/versioned/7'))).toBe(`versions=${feed.lastId}`);
    expect(await isReused('/versioned/7')).toBe(true);
  });

  it('shares no answer after a change without a version, until the next change with one', async () => {
    await change('7');
    attested = '9999';
    expect(await isReused('/versioned/7')).toBe(false);
    await change('8', 1701);
    expect(await isReused('/versioned/7')).toBe(true);
  });

  it('does not use the version of a write as a position', async () => {
    answer = (request, response) => {
      if (request.method === 'PUT') feed.publish(() => '{"id":9,"row":{"version":1702}}');
      response.setHeader('X-Version', '1702').end('x');
    };
    const written = await fetch(`${weir.url}/versioned/9`, { method: 'PUT', body: 'y' });
    expect(position(written)).toBe(`versions=${feed.lastId}`);
  });
});

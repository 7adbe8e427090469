import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signedDelivery, webhookSecret } from '../feeds/deliveries.ts';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

let stream: EventStreamServer;
let origin: Server;
let weir: RunningWeir;
let version = 1;

function configuration(ttl = '1h'): string {
  const cache = (feed: string): string => `{ freshness: until-changed, feed: ${feed}, tags: ["item:{id}"] }`;
  const map = 'map: [{ invalidate: { tags: ["item:{id}"], urls: ["/named/{id}"], prefixes: [/below/*] } }]';
  return `
    origins: { shop: { url: "http://127.0.0.1:${(origin.address() as AddressInfo).port}" } }
    feeds:
      changes: { type: sse, url: "${stream.url}", max-silence: 30s, ${map} }
      hooks: { type: webhook, path: /hooks/./shop, secret: "${webhookSecret}", max-body: 1KiB, ${map} }
    routes:
      - { name: streamed, match: "/streamed/{id}", cache: ${cache('changes')} }
      - { name: hooked, match: "/hooked/{id}", cache: ${cache('hooks')} }
      - { name: named, match: "/named/{id}", cache: { freshness: fixed, ttl: 1h } }
      - { name: below, match: "/below/*", cache: { freshness: fixed, ttl: ${ttl} } }
      - { name: rest, match: "/*" }`;
}

beforeAll(async () => {
  stream = new EventStreamServer(50);
  await stream.start();
  origin = createServer((_request, response) =>
    response.setHeader('ETag', `"${version}"`).end(String(version)),
  );
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  weir = await startWeir(configuration());
  await inState('live', 'live');
});

afterAll(async () => {
  await weir.stop();
  await stream.stop();
  origin.closeAllConnections();
  origin.close();
});

interface Status {
  readonly state: string;
  readonly gaps: number;
  readonly changes: number;
}

async function feeds(): Promise<readonly [Status, Status]> {
  return ((await (await weir.admin('/feeds')).json()) as { feeds: [Status, Status] }).feeds;
}

async function inState(changes: string, hooks: string): Promise<void> {
  for (;;) {
    const [first, second] = await feeds();
    if (first.state === changes && second.state === hooks) return;
  }
}

async function text(path: string): Promise<string> {
  return (await fetch(`${weir.url}${path}`)).text();
}

/** Makes each worker answer from its cache, because connections are spread over them. */
async function hit(path: string): Promise<void> {
  for (let hits = 0; hits < 10;) {
    const response = await fetch(`${weir.url}${path}`, { headers: { connection: 'close' } });
    await response.text();
    if (response.headers.get('cache-status')!.includes('; hit')) hits += 1;
  }
}

async function deliver(content: unknown, change: (body: Uint8Array) => Uint8Array = (body) => body) {
  const { fields, body } = signedDelivery(content);
  const headers: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) headers.push([fields[i]!, fields[i + 1]!]);
  const sent = Buffer.from(change(body));
  return fetch(`${weir.url}/hooks/shop`, {
    method: 'POST',
    body: sent,
    headers: [...headers, ['connection', 'close']],
  });
}

describe('feeds', () => {
  it('accept deliveries on the main port, at their normalised path, on every worker', async () => {
    await hit('/hooked/1');
    for (let round = 0; round < 8; round += 1) {
      version += 1;
      const answer = await deliver({ id: 1 });
      expect([answer.status, await answer.text()]).toEqual([204, '']);
      expect(await text('/hooked/1')).toBe(String(version));
    }
  });

  it('reject deliveries that are too large, not authentic, or malformed', async () => {
    expect((await deliver({ id: 'x'.repeat(2_000) })).status).toBe(413);
    const unsigned = await deliver({ id: 1 }, () => Buffer.from('{"id":2}'));
    expect([unsigned.status, unsigned.headers.get('content-type')]).toEqual([
      401,
      'application/problem+json',
    ]);
    const got = await fetch(`${weir.url}/hooks/shop`);
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('invalidate a URL however clients encode the value that a change names', async () => {
    await hit('/named/a:b');
    await hit('/named/a%3Ab');
    version += 1;
    await deliver({ id: 'a:b' });
    expect(await text('/named/a:b')).toBe(String(version));
    expect(await text('/named/a%3Ab')).toBe(String(version));
  });

  it('invalidate what is below a prefix with a final /*', async () => {
    await hit('/below/a/b');
    version += 1;
    await deliver({ id: 99 });
    expect(await text('/below/a/b')).toBe(String(version));
  });

  it('continue over a reload that does not change them', async () => {
    const before = await feeds();
    await weir.reload(configuration('2h'));
    expect(weir.events('reloaded')).toMatchObject([{ invalidatedRoutes: ['below'] }]);
    await inState('live', 'live');
    const after = await feeds();
    expect(after.map(({ gaps, changes }) => [gaps, changes])).toEqual(
      before.map(({ gaps, changes }) => [gaps, changes]),
    );
  });

  it('show for entries why they may not be used while the feeds are not live', async () => {
    await hit('/streamed/1');
    const why = async (): Promise<unknown[]> => {
      const report = (await (await weir.admin('/entries?url=/streamed/1')).json()) as {
        entries: { usable: boolean; why: string }[];
      };
      return report.entries.map(({ usable, why: reason }) => [usable, reason]);
    };
    expect(await why()).toEqual([[true, 'fresh']]);
    await stream.stop();
    await inState('lost', 'live');
    expect(await why()).toEqual([[false, 'feed-not-live']]);
    version += 1;
    expect(await text('/streamed/1')).toBe(String(version));
  });
});

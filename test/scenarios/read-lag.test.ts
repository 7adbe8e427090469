import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { startWeir } from '../support/weir.ts';

let ending: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const end of ending.toReversed()) await end();
  ending = [];
});

describe('read-lag', () => {
  it('passes on an answer that was fetched just after a change, and gives it to no other client, on any route', async () => {
    const stream = new EventStreamServer(50);
    await stream.start();
    ending.push(() => stream.stop());
    let requests = 0;
    const origin = createServer((_request, response) => {
      requests += 1;
      response.setHeader('Cache-Control', 'max-age=600').setHeader('ETag', '"lagging"').end('x');
    });
    origin.listen(0, '127.0.0.1');
    await once(origin, 'listening');
    ending.push(() => {
      origin.closeAllConnections();
      origin.close();
    });
    const weir = await startWeir(`
      origins: { shop: { url: "http://127.0.0.1:${(origin.address() as AddressInfo).port}" } }
      feeds:
        changes: { type: sse, url: "${stream.url}", read-lag: 10m, map: [{ invalidate: { urls: ["/{id}"] } }] }
      routes: [{ name: all, match: "/*" }]`);
    ending.push(() => weir.stop());
    const applied = async (): Promise<number> =>
      ((await (await weir.admin('/feeds')).json()) as { feeds: { changes: number; state: string }[] })
        .feeds[0]!.changes;
    while (!weir.lines.some((line) => line.includes('the feed is live'))) await applied();
    stream.publish(() => '{"id":"a"}');
    while ((await applied()) < 1);
    const why: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      const response = await fetch(`${weir.url}/a`);
      expect(await response.text()).toBe('x');
      why.push(response.headers.get('cache-status')!);
    }
    expect(requests).toBe(4);
    expect(why.at(-1)).toContain('detail=unproven');
  });
});

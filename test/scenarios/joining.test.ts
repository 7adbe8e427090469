/**
 * Tests requests during a fetch: they wait for its answer, unless it may show an older state than the one at
 * their arrival.
 */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventStreamServer } from '../feeds/event-stream-server.ts';
import { until } from '../support/barrier.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { untilFlights } from './observed.ts';

let origin: Server;
let stream: EventStreamServer;
let weir: RunningWeir | null = null;
/** Requests that the origin has not answered. */
let asked: ServerResponse[];

beforeEach(async () => {
  asked = [];
  stream = new EventStreamServer(50);
  await stream.start();
  origin = createServer((_request, response) => asked.push(response));
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
});

afterEach(async () => {
  await weir?.stop();
  weir = null;
  await stream.stop();
  origin.closeAllConnections();
  origin.close();
});

/** One worker, so that all requests join the same flight. */
async function start(feed: string): Promise<RunningWeir> {
  const url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  weir = await startWeir(`
    listen: { port: 0, workers: 1 }
    origins: { shop: { url: "${url}" } }
    feeds: { changes: { type: sse, ${feed}, map: [{ invalidate: { urls: ["/{id}"] } }] } }
    routes: [{ name: all, match: "/*", cache: { freshness: until-changed, feed: changes } }]`);
  return weir;
}

async function feedIs(wanted: { readonly state: string; readonly changes: number }): Promise<void> {
  for (;;) {
    const { feeds } = (await (await weir!.admin('/feeds')).json()) as { feeds: (typeof wanted)[] };
    if (feeds[0]!.state === wanted.state && feeds[0]!.changes === wanted.changes) return;
  }
}

const waiting = (count: number) => untilFlights(weir!, (flights) => flights.waiting >= count);

const get = async (): Promise<string> => (await fetch(`${weir!.url}/a`)).text();

function answer(content: string): void {
  asked.shift()!.setHeader('ETag', `"${content}"`).end(content);
}

/** The answers to two clients, of which the second one arrives while the first one's answer is awaited. */
async function firstAndSecond(): Promise<string[]> {
  const first = get();
  await until(() => asked.length === 1, 'the first was asked for');
  const second = get();
  await waiting(2);
  answer('one');
  const seen = [await first];
  // The origin gets no second request if the second client has the first one's answer.
  await Promise.race([second, until(() => asked.length === 1, 'the second was asked for')]);
  if (asked.length === 1) answer('two');
  return [...seen, await second];
}

describe('a client that arrives during a fetch', () => {
  it('gets its answer, where that shows all changes of the feed', async () => {
    await start(`url: "${stream.url}"`);
    await feedIs({ state: 'live', changes: 0 });
    expect(await firstAndSecond()).toEqual(['one', 'one']);
  });

  it('gets another answer, where the first may be from before a change within the read lag', async () => {
    await start(`url: "${stream.url}", read-lag: 10m`);
    await feedIs({ state: 'live', changes: 0 });
    stream.publish(() => '{"id":"a"}');
    await feedIs({ state: 'live', changes: 1 });
    expect(await firstAndSecond()).toEqual(['one', 'two']);
  });

  it('gets another answer, where the feed is not live and could not report a change', async () => {
    await start('url: "http://127.0.0.1:9/changes"');
    expect(await firstAndSecond()).toEqual(['one', 'two']);
  });
});

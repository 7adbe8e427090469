import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startWeir, type RunningWeir } from '../support/weir.ts';

let origin: Server;
let weir: RunningWeir;
/** Responses that the origin has not given yet. */
const asked: ServerResponse[] = [];

function configuration(terms: string): string {
  const { port } = origin.address() as AddressInfo;
  const cache = 'freshness: until-changed, feed: changes, version-header: X-Version, position-header: true';
  return `
    origins: { shop: { url: "http://127.0.0.1:${port}" } }
    feeds: { changes: { type: sse, url: "http://127.0.0.1:${port}/changes", max-silence: 10m${terms} } }
    routes: [{ name: all, match: "/*", cache: { ${cache} } }]`;
}

beforeAll(async () => {
  origin = createServer((request, response) => {
    if (request.url !== '/changes') asked.push(response);
    else
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('id: place-1\nevent: head\n\n');
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  weir = await startWeir(configuration(''));
  while (!weir.lines.some((line) => line.includes('the feed is live'))) await weir.stats();
});

afterAll(async () => {
  await weir.stop();
  origin.closeAllConnections();
  origin.close();
});

it('an answer arrives although a reload changes how the origin attests that it is current', async () => {
  const answers = [{}, { 'weir-min-position': 'nobody=1' }].map((headers, i) =>
    fetch(`${weir.url}/${i}`, { headers }),
  );
  while (asked.length < answers.length) await weir.stats();
  await weir.reload(configuration(', version-field: version'));
  for (const response of asked) response.setHeader('X-Version', '7').end('x');
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
  expect(weir.lines.filter((line) => line.includes('died'))).toEqual([]);
});

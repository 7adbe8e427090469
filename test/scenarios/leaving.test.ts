/** Tests clients that leave before they are answered: what they caused counts, and each is logged once. */
import { describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, RawConnection } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    log: { access: true }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}" } }
  `,
  (started) => ({ origin, weir } = started),
);

/** Sends a request, leaves when the origin has got it, and resolves when Weir has noticed. */
async function leaveAfter(request: string, path: string): Promise<void> {
  const client = new RawConnection(weir.port);
  client.write(request.replaceAll('\n', '\r\n'));
  await origin.seen(path);
  client.close();
  const connections = async () => (await weir.stats())['connections'];
  while ((await connections()) !== 0);
}

const logged = (path: string) => weir.events('request').filter((event) => event['path'] === path);

describe('a client that leaves', () => {
  it('leaves its write to be finished, and what that changed is invalid', async () => {
    let version = 1;
    const held = gate();
    origin.on('GET /written', () => ({ fields: ['Cache-Control', 'max-age=60'], body: String(version) }));
    origin.on('POST /written', async (_, answer) => {
      await held.promise;
      answer.send(204, []);
    });
    await ask(`${weir.url}/written`);
    await leaveAfter('POST /written HTTP/1.1\nHost: a\nContent-Length: 1\n\nx', 'POST /written');
    version = 2;
    held.open();
    while (logged('/written').length < 2) await weir.stats();
    expect(logged('/written')[1]).toMatchObject({ method: 'POST', outcome: 'write', complete: false });
    expect((await ask(`${weir.url}/written`)).body).toBe('2');
  });

  it('keeps a connection to the origin no longer than the limit for abandoned writes', async () => {
    const app = `{ url: "${origin.url}", connections: 8, timeouts: { headers: 60s, abandoned: 100ms } }`;
    const bounded = await startWeir(`
      listen: { port: 0, workers: 1 }
      cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
      origins: { app: ${app} }
      routes: [{ match: /through/*, write: { policy: through } }, { match: /* }]
    `);
    for (const path of ['/around', '/through/x']) {
      origin.on(`POST ${path}`, async (_, answer) => answer.gone);
      const clients = Array.from({ length: 8 }, () => new RawConnection(bounded.port));
      for (const [i, client] of clients.entries()) {
        client.write(`POST ${path}?${i} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx`);
      }
      await origin.seen(`POST ${path}`, 8);
      for (const client of clients) client.close();
      expect((await ask(`${bounded.url}/free${path}`)).status).toBe(404);
    }
    await bounded.stop();
  });

  it('is logged once, although it got no answer', async () => {
    origin.on('/awaited', async (_, answer) => answer.gone);
    await leaveAfter('GET /awaited HTTP/1.1\nHost: a\n\n', '/awaited');
    while (logged('/awaited').length === 0) await weir.stats();
    expect(logged('/awaited')).toEqual([
      expect.objectContaining({ outcome: 'abandoned', reason: 'flight', status: 0, complete: false }),
    ]);
  });
});

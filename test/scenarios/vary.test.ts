/** Tests Vary on fields that Weir writes for the origin: no client gets another client's answer. */
import { Agent } from 'node:http';
import { describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';
import { untilFlights } from './observed.ts';

describe.each([
  [1, '256MiB'],
  [2, '256MiB'],
  [2, '0'],
])('with %i worker(s) and %s of disk', (workers, disk) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  useWeir(
    (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: 16MiB, disk: { path: ./data, size: ${disk} } }
      origins: { app: { url: "${url}" } }
    `,
    (started) => ({ origin, weir } = started),
  );

  const from = (address: string, path: string, headers: Record<string, string> = {}) =>
    ask(`${weir.url}${path}`, { headers, agent: new Agent({ localAddress: address }) });

  it.each([
    ['X-Forwarded-For', (address: string) => address],
    ['Forwarded', (address: string) => `for=${address}`],
  ])('RFC 9111 §4.1 each client has its own answer where Vary names %s', async (name, written) => {
    const path = `/apart-${name}`;
    origin.on(path, ({ headers }) => ({
      fields: ['Cache-Control', 'max-age=60', 'Vary', name],
      body: String(headers[name.toLowerCase()]),
    }));
    for (const address of ['127.0.0.1', '127.0.0.2', '127.0.0.1', '127.0.0.2']) {
      expect((await from(address, path)).body).toBe(written(address));
      expect((await from(address, path, { [name]: 'for=127.0.0.3' })).body).toBe(written(address));
    }
  });

  it('RFC 9111 §4.1 clients that wait together also have their own answers', async () => {
    const held = gate();
    origin.on('/together', async ({ headers }, answer) => {
      await held.promise;
      const fields = ['Cache-Control', 'max-age=60', 'Vary', 'X-Forwarded-For'];
      answer.send(200, fields, String(headers['x-forwarded-for']));
    });
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.1', '127.0.0.2', '127.0.0.3'];
    const asked = addresses.map((address) => from(address, '/together'));
    await origin.seen('/together');
    held.open();
    expect((await Promise.all(asked)).map(({ body }) => body)).toEqual(addresses);
  });

  it('RFC 9111 §4.1 the same client gets its own entry', async () => {
    origin.on('/same', { fields: ['Cache-Control', 'max-age=60', 'Vary', 'X-Forwarded-For'], body: 'x' });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await ask(`${weir.url}/same`, { agent });
    await untilFlights(weir, ({ running }) => running === 0);
    const again = await ask(`${weir.url}/same`, { agent });
    agent.destroy();
    expect(cacheStatusOf(again)).toMatchObject({ hit: true });
  });
});

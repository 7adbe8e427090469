/**
 * Tests clients that begin a write and leave: a write whose content is incomplete is neither sent nor held.
 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}", max-processing: 10m } }
    routes:
      - { name: through, match: /through/*, write: { policy: through } }
      - { name: streamed, match: /streamed/*, write: { read-whole: 0B } }
      - { name: around, match: /* }
  `,
  (started) => ({ origin, weir } = started),
);

/** Sends a part of the content, and leaves after Weir has read it. */
async function leaveAfterPart(target: string, framing: string, part: string): Promise<void> {
  const socket: Socket = connect(weir.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(`POST ${target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n${framing}\r\n\r\n`);
  await once(socket, 'data');
  socket.write(part);
  socket.destroy();
  await once(socket, 'close');
}

const holds = async (): Promise<number> => ((await weir.stats())['fence'] as { holds: number }).holds;

describe('a client that leaves within its content', () => {
  it.each([
    ['/around/a', 'Content-Length: 10', 'abc'],
    ['/around/b', 'Transfer-Encoding: chunked', '3\r\nabc\r\n'],
    ['/through/a', 'Content-Length: 10', 'abc'],
    ['/through/b', 'Transfer-Encoding: chunked', '3\r\nabc\r\n'],
  ])('causes no request to the origin and no hold: %s, %s', async (target, framing, part) => {
    origin.on(target, { fields: ['Cache-Control', 'max-age=600'], body: 'page' });
    await ask(`${weir.url}${target}`);
    await leaveAfterPart(target, framing, part);
    expect(cacheStatusOf(await ask(`${weir.url}${target}`))).toMatchObject({ hit: true });
    expect(await holds()).toBe(0);
    expect(origin.requests.filter(({ method }) => method === 'POST')).toHaveLength(0);
  });

  it('causes a hold if the origin got a part of the content', async () => {
    origin.on('/streamed/a', { fields: ['Cache-Control', 'max-age=600'], body: 'page' });
    const received = new Promise<void>((resolve) => {
      origin.on('POST /streamed/a', ({ received: content }) => {
        resolve();
        return content.then(
          () => ({ status: 200 }),
          () => ({ status: 400 }),
        );
      });
    });
    const socket = connect(weir.port, '127.0.0.1');
    socket.write('POST /streamed/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
    await received;
    socket.destroy();
    await expect.poll(holds).toBeGreaterThan(0);
  });
});

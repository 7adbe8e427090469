/**
 * Tests many requests for one URL on several workers: one request goes to the origin, and no client depends
 * on another one.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gate, until } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, askHead, cacheStatusOf, firstBytes, readAll, RawConnection } from './client.ts';
import { isIdle, untilFlights } from './observed.ts';

const CACHEABLE = ['Cache-Control', 'max-age=60'];

describe.each([1, 2])('a flight with %i worker(s)', (workers) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  useWeir(
    (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: 32MiB, disk: { path: ./data, size: 64MiB } }
      origins: { app: { url: "${url}" } }
    `,
    (started) => ({ origin, weir } = started),
  );

  beforeEach(() => origin.forget());

  // Every test must leave no flight behind.
  afterEach(async () => void (await untilFlights(weir, isIdle)));

  /** Waits for a number of waiting requests over all workers, including those of one worker for another. */
  const waiting = (atLeast: number) => untilFlights(weir, (flights) => flights.waiting >= atLeast);

  it('sends one request for 64 clients', async () => {
    const held = gate();
    origin.on('/once', async (_request, answer) => {
      await held.promise;
      answer.send(200, CACHEABLE, 'content');
    });
    const asked = Array.from({ length: 64 }, () => ask(`${weir.url}/once`));
    await waiting(63 + workers);
    held.open();
    const answers = await Promise.all(asked);
    expect(answers.every(({ status, body, whole }) => status === 200 && body === 'content' && whole)).toBe(
      true,
    );
    expect(origin.count()).toBe(1);
    expect(answers.filter((answer) => cacheStatusOf(answer)['collapsed'] === true)).toHaveLength(63);
  });

  it('sends one validation for all clients that wait', async () => {
    let held = gate();
    held.open();
    origin.on('/confirm', async ({ headers }, answer) => {
      await held.promise;
      if (headers['if-none-match'] === '"1"')
        answer.send(304, ['ETag', '"1"', 'Cache-Control', 'max-age=60']);
      else answer.send(200, ['ETag', '"1"', 'Cache-Control', 'max-age=0'], 'content');
    });
    await ask(`${weir.url}/confirm`);
    held = gate();
    const asked = Array.from({ length: 16 }, () => ask(`${weir.url}/confirm`));
    await waiting(16);
    held.open();
    for (const { body } of await Promise.all(asked)) expect(body).toBe('content');
    expect(origin.count()).toBe(2);
  });

  it('continues for the others when the first client leaves', async () => {
    const held = gate();
    origin.on('/left', async (_request, answer) => {
      await held.promise;
      answer.send(200, CACHEABLE, 'content');
    });
    const first = new RawConnection(weir.port);
    first.write('GET /left HTTP/1.1\r\nHost: a\r\n\r\n');
    await origin.seen('/left');
    const others = Array.from({ length: 8 }, () => ask(`${weir.url}/left`));
    await waiting(9);
    first.close();
    await first.ended();
    held.open();
    for (const { body } of await Promise.all(others)) expect(body).toBe('content');
    expect(origin.count()).toBe(1);
  });

  it('is given up when all clients have left before its head', async () => {
    let isGone = false;
    origin.on('/deserted', async (_request, answer) => {
      await answer.gone;
      isGone = true;
    });
    const clients = Array.from({ length: 4 }, () => new RawConnection(weir.port));
    for (const client of clients) client.write('GET /deserted HTTP/1.1\r\nHost: a\r\n\r\n');
    await waiting(4);
    await origin.seen('/deserted');
    // A client may arrive only after the others have left.
    origin.on('/deserted', { fields: CACHEABLE, body: 'content' });
    for (const client of clients) client.close();
    await until(() => isGone, 'the origin is left');
    expect((await ask(`${weir.url}/deserted`)).body).toBe('content');
  });

  it('is stored to its end although all clients have left, if its content has begun', async () => {
    const held = gate();
    origin.on('/stored', async (_request, answer) => {
      answer.head(200, [...CACHEABLE, 'Content-Length', '8']);
      await answer.write('half');
      await held.promise;
      await answer.write('half');
      answer.end();
    });
    const client = await askHead(`${weir.url}/stored`);
    await firstBytes(client);
    client.destroy();
    held.open();
    let last;
    do last = await ask(`${weir.url}/stored`);
    while (cacheStatusOf(last)['hit'] !== true);
    expect(last.body).toBe('halfhalf');
    expect(origin.count()).toBe(1);
  });

  it('is complete for no client and stored nowhere when the origin dies during it', async () => {
    const held = gate();
    origin.on('/dies', async (_request, answer) => {
      answer.head(200, [...CACHEABLE, 'Transfer-Encoding', 'chunked']);
      await answer.write('half');
      await held.promise;
      answer.cut();
    });
    const heads = await Promise.all(Array.from({ length: 8 }, () => askHead(`${weir.url}/dies`)));
    const answers = heads.map(readAll);
    held.open();
    for (const { whole, status } of await Promise.all(answers)) {
      expect(status).toBe(200);
      expect(whole).toBe(false);
    }
    expect(origin.count()).toBe(1);
    origin.on('/dies', { fields: CACHEABLE, body: 'alive' });
    const after = await ask(`${weir.url}/dies`);
    expect(after.body).toBe('alive');
    expect(cacheStatusOf(after)).toMatchObject({ fwd: 'uri-miss' });
  });

  it('is not stored if its content is shorter than its length', async () => {
    origin.on('/short', async (_request, answer) => {
      answer.head(200, [...CACHEABLE, 'Content-Length', '10']);
      await answer.write('five.');
      answer.cut();
    });
    expect((await ask(`${weir.url}/short`)).whole).toBe(false);
    expect((await ask(`${weir.url}/short`)).whole).toBe(false);
    expect(origin.count()).toBe(2);
  });

  it('is not waited for once its answer is known to be private', async () => {
    const held = gate();
    origin.on('/each', async (_request, answer) => {
      await held.promise;
      answer.send(200, ['Cache-Control', 'private'], 'yours');
    });
    const first = Array.from({ length: 8 }, () => ask(`${weir.url}/each`));
    await waiting(8);
    held.open();
    for (const { body } of await Promise.all(first)) expect(body).toBe('yours');
    expect(origin.count()).toBe(8);
    const second = gate();
    origin.on('/each', async (_request, answer) => {
      await second.promise;
      answer.send(200, ['Cache-Control', 'private'], 'yours');
    });
    origin.forget();
    const together = Array.from({ length: 8 }, () => ask(`${weir.url}/each`));
    await origin.seen('/each', 8);
    second.open();
    await Promise.all(together);
    expect(origin.maxRunning).toBeGreaterThanOrEqual(8);
  });

  it('gives its answer to no other client if each use has to be validated', async () => {
    const held = gate();
    origin.on('/personal', async ({ headers }, answer) => {
      answer.inform(103, ['Link', `</${headers.cookie}>; rel=preload`, 'Set-Cookie', 'a=b']);
      await held.promise;
      answer.send(200, ['ETag', '"1"'], `for ${headers.cookie}`);
    });
    const names = Array.from({ length: 16 }, (_, i) => `client-${i}`);
    const asked = names.map((name) => {
      const client = new RawConnection(weir.port);
      client.write(`GET /personal HTTP/1.1\r\nHost: a\r\nCookie: ${name}\r\nConnection: close\r\n\r\n`);
      return client.ended();
    });
    await waiting(names.length);
    held.open();
    for (const [i, all] of (await Promise.all(asked)).entries()) {
      expect(all).toMatch(new RegExp(`for ${names[i]!}$`));
      expect(all).toContain(`Link: </${names[i]!}>`);
      expect(all.match(/^link:/gim)).toHaveLength(1);
      expect(all).not.toMatch(/set-cookie/i);
    }
    expect(origin.count()).toBe(names.length);
  });

  it('stops the origin when the only client of an answer that is not stored leaves', async () => {
    let isGone = false;
    origin.on('/endless', async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'no-store']);
      const gone = answer.gone.then(() => {
        isGone = true;
      });
      const sending = async (): Promise<void> => {
        await answer.write(Buffer.alloc(65_536));
        return isGone ? gone : sending();
      };
      await sending();
    });
    const client = await askHead(`${weir.url}/endless`);
    await firstBytes(client);
    client.destroy();
    await until(() => isGone, 'the origin is left');
  });

  it('reports a failure of the origin to all clients', async () => {
    const held = gate();
    origin.on('/fails', async (_request, answer) => {
      await held.promise;
      answer.cut();
    });
    const asked = Array.from({ length: 8 }, () => ask(`${weir.url}/fails`));
    await waiting(8);
    held.open();
    for (const { status, headers } of await Promise.all(asked)) {
      expect(status).toBe(502);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(headers['proxy-status']).toContain('weir; error=');
    }
  });
});

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { gate, until } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask } from './client.ts';
import { untilFlights } from './observed.ts';

const MIB = 1024 * 1024;
const CLIENTS = 500;
const LARGE = randomBytes(MIB);
let origin: ScriptedOrigin;
let weir: RunningWeir;

afterEach(() => origin.forget());

/** A client that discards what it reads, and reports whether it was exactly `LARGE`. */
function follow(port: number, path: string, onFirst: () => void = () => {}): Follower {
  const socket = connect(port, '127.0.0.1');
  const { promise, resolve } = Promise.withResolvers<'whole' | 'cut'>();
  let head = '';
  let at = -1;
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  socket.on('data', (chunk: Buffer) => {
    let bytes = chunk;
    if (at < 0) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      bytes = Buffer.from(head.slice(end + 4), 'latin1');
      at = 0;
      onFirst();
    }
    if (LARGE.compare(bytes, 0, bytes.length, at, at + bytes.length) !== 0) socket.destroy();
    at += bytes.length;
  });
  socket.on('error', () => {});
  socket.on('close', () => resolve(at === LARGE.length && head.startsWith('HTTP/1.1 200') ? 'whole' : 'cut'));
  return { ended: promise, leave: () => socket.destroy() };
}

interface Follower {
  readonly ended: Promise<'whole' | 'cut'>;
  leave(): void;
}

/** Answers in two halves, the second one when `secondHalf` resolves. */
function serveSlowly(path: string, secondHalf: Promise<'send' | 'cut'>): void {
  origin.on(path, async (_, answer) => {
    answer.head(200, ['Cache-Control', 'max-age=60', 'Content-Length', String(LARGE.length)]);
    await answer.write(LARGE.subarray(0, MIB / 2));
    if ((await secondHalf) === 'cut') return answer.cut();
    await answer.write(LARGE.subarray(MIB / 2));
    answer.end();
  });
}

function anonymousBytes(): number {
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${weir.pid}/status`, 'latin1'))?.[1];
  return Number(kib) * 1024;
}

describe('five hundred clients of a slow, large and uncached response', () => {
  useWeir(
    (url) => `
      listen: { port: 0, workers: 2 }
      cache: { memory: 8MiB, disk: { path: ./data, size: 64MiB } }
      # Enough for a hundred at once on either worker, however the kernel shares the clients out.
      origins: { app: { url: "${url}", connections: 256 } }
      routes: [{ name: all, match: /*, origin: app }]`,
    (started) => ({ origin, weir } = started),
  );

  it('cause one request to the origin, all get the whole, and take little memory', async () => {
    const secondHalf = Promise.withResolvers<'send' | 'cut'>();
    serveSlowly('/large', secondHalf.promise);
    const before = anonymousBytes();
    let begun = 0;
    let most = 0;
    const clients = Array.from({ length: CLIENTS }, () => follow(weir.port, '/large', () => (begun += 1)));
    await until(() => begun === CLIENTS, 'every client has had its first byte');
    expect(origin.count()).toBe(1);
    most = Math.max(most, anonymousBytes());
    secondHalf.resolve('send');
    const ends = await Promise.all(
      clients.map(async ({ ended }, i) => {
        const end = await ended;
        if (i % 20 === 0) most = Math.max(most, anonymousBytes());
        return end;
      }),
    );
    expect(ends.filter((end) => end === 'whole')).toHaveLength(CLIENTS);
    expect(origin.count()).toBe(1);
    // A window for each worker and the content of socket buffers, which is far from a copy for each client.
    expect((most - before) / MIB).toBeLessThan(150);
  });

  it('continue when the client leaves whose request was sent', async () => {
    const secondHalf = Promise.withResolvers<'send' | 'cut'>();
    serveSlowly('/left', secondHalf.promise);
    const leader = follow(weir.port, '/left');
    await origin.seen('/left');
    let begun = 0;
    const clients = Array.from({ length: 100 }, () => follow(weir.port, '/left', () => (begun += 1)));
    await until(() => begun === clients.length, 'every client has had its first byte');
    leader.leave();
    await leader.ended;
    secondHalf.resolve('send');
    expect(await Promise.all(clients.map(({ ended }) => ended))).toEqual(clients.map(() => 'whole'));
    expect(origin.count()).toBe(1);
  });

  it('are all cut when the origin dies during it, and no part of it is stored', async () => {
    const secondHalf = Promise.withResolvers<'send' | 'cut'>();
    serveSlowly('/dies', secondHalf.promise);
    let begun = 0;
    const clients = Array.from({ length: CLIENTS }, () => follow(weir.port, '/dies', () => (begun += 1)));
    await until(() => begun === CLIENTS, 'every client has had its first byte');
    secondHalf.resolve('cut');
    expect((await Promise.all(clients.map(({ ended }) => ended))).filter((end) => end === 'whole')).toEqual(
      [],
    );
    expect(origin.count()).toBe(1);
    serveSlowly('/dies', Promise.resolve('send'));
    expect(await follow(weir.port, '/dies').ended).toBe('whole');
  });

  it('do not wait for each other where the answer is private', async () => {
    origin.on('/own', { fields: ['Cache-Control', 'no-store'], body: 'a' });
    await ask(`${weir.url}/own`);
    const held = gate();
    origin.on('/own', async () => {
      await held.promise;
      return { fields: ['Cache-Control', 'no-store'], body: 'b' };
    });
    origin.forget();
    const answers = Array.from({ length: 100 }, () => ask(`${weir.url}/own`));
    // All of them are at the origin at once, from both workers.
    await origin.seen('/own', 100);
    expect(origin.running).toBe(100);
    held.open();
    for (const { status, body } of await Promise.all(answers))
      expect({ status, body }).toEqual({ status: 200, body: 'b' });
    expect(origin.count()).toBe(100);
  });
});

describe('the number of waiters', () => {
  useWeir(
    (url) => `
      listen: { port: 0, workers: 1 }
      flights: { waiters: 5, waiting: 8, background: 1 }
      origins: { app: { url: "${url}", connections: 1, queue: { timeout: 60s } } }
      routes: [{ name: all, match: /*, origin: app }]`,
    (started) => ({ origin, weir } = started),
  );

  it('is limited for one URL and in all, and others get 503 at once', async () => {
    const held = gate();
    origin.on('*', async () => {
      await held.promise;
      return { fields: ['Cache-Control', 'max-age=60'], body: 'a' };
    });
    const first = Array.from({ length: 5 }, () => ask(`${weir.url}/one`));
    await origin.seen('/one');
    await untilWaiting(5);
    const refused = await ask(`${weir.url}/one`);
    expect(refused).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1', 'content-type': 'application/problem+json' },
    });
    expect(refused.headers['cache-status']).toContain('detail=waiters');
    const others = ['/two', '/three', '/four'].map((path) => ask(`${weir.url}${path}`));
    await untilWaiting(8);
    expect((await ask(`${weir.url}/five`)).headers['cache-status']).toContain('detail=waiting');
    held.open();
    for (const { status } of await Promise.all([...first, ...others])) expect(status).toBe(200);
    expect((await ask(`${weir.url}/one`)).body).toBe('a');
  });

  it('in the background is limited, and comes after clients', async () => {
    const stale = ['Cache-Control', 'max-age=10, stale-while-revalidate=1000', 'Age', '20'];
    origin.on('/stale-*', { fields: stale, body: 'old' });
    for (const path of ['/stale-1', '/stale-2']) await ask(`${weir.url}${path}`);
    origin.forget();
    const held = gate();
    origin.on('/held', async () => {
      await held.promise;
      return { fields: ['Cache-Control', 'no-store'], body: 'a' };
    });
    const holding = ask(`${weir.url}/held`);
    await origin.seen('/held');
    // Both are answered at once. One may be refreshed in the background, and waits for the only connection.
    for (const path of ['/stale-1', '/stale-2']) expect((await ask(`${weir.url}${path}`)).body).toBe('old');
    origin.on('/client', { fields: ['Cache-Control', 'no-store'], body: 'c' });
    const client = ask(`${weir.url}/client`);
    await untilWaiting(3);
    held.open();
    expect((await client).body).toBe('c');
    await holding;
    await origin.seen('/stale-1');
    expect(origin.requests.map(({ url }) => url)).toEqual(['/held', '/client', '/stale-1']);
  });

  /** The refreshes and clients that wait for a flight. */
  const untilWaiting = (count: number) => untilFlights(weir, ({ waiting }) => waiting === count);
});

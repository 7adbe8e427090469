/** Tests limits that keep one client from affecting all: each has effect, and the metrics count how often. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { RawConnection } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen:
      port: 0
      workers: 2
      limits: { request: 500ms, body-rate: 1KiB, body-grace: 200ms, total: 3s, idle: 300ms }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}", timeouts: { headers: 60s, abandoned: 100ms } } }
  `,
  (started) => ({ origin, weir } = started),
);

/** The value of a sample, by its name and labels in the exposition. */
async function counted(sample: string): Promise<number> {
  const text = await (await weir.admin('/metrics')).text();
  const line = text.split('\n').find((each) => each.startsWith(`${sample} `));
  if (line === undefined) throw new Error(`no ${sample} in the metrics`);
  return Number(line.slice(sample.length));
}

/** Sends these bytes to the port, and returns what it answers until it closes. */
function talk(port: number, bytes: string): Promise<string> {
  const connection = new RawConnection(port);
  connection.write(bytes);
  return connection.ended();
}

describe('the admin side without a token', () => {
  const adminPort = (): number => Number(new URL(weir.adminUrl).port);
  const post = (host: string, fields: string): string =>
    `POST /purge HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${fields}Content-Length: 12\r\n\r\n{"all":true}`;

  it.each([
    ['foreign-host', 421, () => post('rebound.evil.test:8081', 'Content-Type: application/json\r\n')],
    [
      'foreign-page',
      403,
      () => post('127.0.0.1', 'Content-Type: application/json\r\nOrigin: https://evil.test\r\n'),
    ],
    ['not-json', 415, () => post('127.0.0.1', 'Content-Type: text/plain\r\n')],
  ])('rejects and counts by reason: %s', async (reason, status, request) => {
    const sample = `weir_admin_refused_total{reason="${reason}"}`;
    const before = await counted(sample);
    expect(await talk(adminPort(), request())).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(await counted(sample)).toBe(before + 1);
  });
});

describe('a connection to the origin', () => {
  const sample = 'weir_origin_abandoned_total{origin="app"}';

  it.each([
    ['that is being read', 'GET /held/a HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /held/a'],
    [
      'that is being passed on',
      'GET /held/b HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n',
      'GET /held/b',
    ],
    ['that writes', 'POST /held/c HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx', 'POST /held/c'],
  ])('is closed and counted when the client of a request leaves %s', async (_, request, pattern) => {
    origin.on(pattern, (_request, answer) => answer.gone);
    const before = await counted(sample);
    const client = new RawConnection(weir.port);
    client.write(request);
    await origin.seen(pattern);
    client.close();
    await expect.poll(() => counted(sample)).toBe(before + 1);
    await expect.poll(() => origin.running).toBe(0);
  });

  it('is not counted where the answer arrived', async () => {
    const before = await counted(sample);
    await (await fetch(`${weir.url}/nothing`)).arrayBuffer();
    expect(await counted(sample)).toBe(before);
  });
});

describe('a request that is too slow', () => {
  beforeAll(() => {
    origin.on('POST /slow', ({ received }) =>
      received.then(
        () => ({ status: 204 }),
        () => ({ status: 400 }),
      ),
    );
  });

  const POST = 'POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n';

  it.each([
    ['head', 'GET / HTTP/1.1\r\nHost: a\r\n'],
    ['content', `${POST}x`],
  ])('is cut and counted by its part: %s', async (part, bytes) => {
    const sample = `weir_requests_too_slow_total{part="${part}"}`;
    const before = await counted(sample);
    expect(await talk(weir.port, bytes)).toMatch(/^HTTP\/1\.1 408 /);
    expect(await counted(sample)).toBe(before + 1);
  });

  it('is cut and counted after limits.total, however steadily it arrives', async () => {
    const sample = 'weir_requests_too_slow_total{part="total"}';
    const before = await counted(sample);
    const client = new RawConnection(weir.port);
    client.write(POST);
    const trickle = setInterval(() => client.write('x'.repeat(2_000)), 50);
    expect(await client.ended()).toMatch(/^HTTP\/1\.1 408 /);
    clearInterval(trickle);
    expect(await counted(sample)).toBe(before + 1);
  });

  it('is cut and counted when its client does not read the answer', async () => {
    origin.on('/large', { fields: ['Cache-Control', 'max-age=60'], body: 'x'.repeat(12_000_000) });
    const sample = 'weir_requests_too_slow_total{part="answer"}';
    const before = await counted(sample);
    const client = new RawConnection(weir.port);
    client.socket.pause();
    client.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
    await expect.poll(() => counted(sample), { timeout: 10_000 }).toBe(before + 1);
    client.close();
  });
});

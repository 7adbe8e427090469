/**
 * Tests an origin that fails in each way that it can: the client gets an error response, never a hang or a
 * stack trace.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { ask, type Answer } from './client.ts';

let origin: ScriptedOrigin;
let secure: Server;
let folder: string;
let weir: RunningWeir;

beforeAll(async () => {
  origin = await startScriptedOrigin();
  secure = createServer({ key: tlsKey, cert: tlsCertificate }, (_request, response) =>
    response.end('over TLS'),
  );
  await once(secure.listen(0, '127.0.0.1'), 'listening');
  const secureUrl = `https://127.0.0.1:${(secure.address() as AddressInfo).port}`;
  folder = mkdtempSync(join(tmpdir(), 'weir-ca-'));
  writeFileSync(join(folder, 'ca.pem'), tlsCertificate);
  weir = await startWeir(`
    listen: { port: 0, workers: 2 }
    cache: { memory: 32MiB, disk: { path: ./data, size: 0 } }
    origins:
      app: { url: "${origin.url}" }
      hasty: { url: "${origin.url}", timeouts: { headers: 300ms } }
      brisk: { url: "${origin.url}", timeouts: { body: 300ms } }
      dead: { url: "http://127.0.0.1:${await freePort()}" }
      nowhere: { url: "http://nowhere.invalid" }
      secure: { url: "${secureUrl}", tls: { ca: "${join(folder, 'ca.pem')}", server-name: ${tlsName} } }
      stranger: { url: "${secureUrl}" }
      many: { url: "${origin.url}", connections: 16, queue: { size: 4096, timeout: 60s } }
      small: { url: "${origin.url}", connections: 2, queue: { size: 8, timeout: 30s } }
    routes:
      - { name: dead, match: /dead/*, origin: dead }
      - { name: nowhere, match: /nowhere/*, origin: nowhere }
      - { name: secure, match: /secure/*, origin: secure }
      - { name: stranger, match: /stranger/*, origin: stranger }
      - { name: hasty, match: /slow-head, origin: hasty }
      - { name: brisk, match: /stops, origin: brisk }
      - { name: many, match: /many/*, origin: many }
      - { name: small, match: /small/*, origin: small }
      - { name: all, match: /*, origin: app }
  `);
});

beforeEach(() => origin.forget());

afterAll(async () => {
  await weir?.stop();
  await origin.close();
  secure.closeAllConnections();
  secure.close();
  rmSync(folder, { recursive: true });
});

function expectFailure(answer: Answer, status: number, error: string): void {
  expect(answer.status).toBe(status);
  expect(answer.whole).toBe(true);
  expect(answer.headers['proxy-status']).toMatch(new RegExp(`^weir; error=${error}`));
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.headers['cache-status']).toMatch(/^weir; /);
  expect(answer.headers['cache-control']).toBe('no-store');
  expect(answer.headers['via']).toBe('1.1 weir');
  const document = JSON.parse(answer.body) as { status: number; title: string; detail: string };
  expect(document.status).toBe(status);
  expect(answer.body).not.toMatch(/ at |node:|\.ts|127\.0\.0\.1/);
}

describe('a client gets an error response when the origin', () => {
  it.each(['GET', 'POST'])('refuses connections (%s)', async (method) => {
    expectFailure(await ask(`${weir.url}/dead/a`, { method }), 502, 'connection_refused');
  });

  it('has no address', async () => {
    expectFailure(await ask(`${weir.url}/nowhere/a`), 502, 'dns_error');
  });

  it('has a certificate that is not trusted, and content over TLS where its authority is configured', async () => {
    expectFailure(await ask(`${weir.url}/stranger/a`), 502, 'tls_certificate_error');
    expect(await ask(`${weir.url}/secure/a`)).toMatchObject({ status: 200, body: 'over TLS' });
  });

  it.each(['GET', 'POST'])('sends no head in time (%s)', async (method) => {
    origin.on('/slow-head', (_request, answer) => answer.gone);
    expectFailure(await ask(`${weir.url}/slow-head`, { method }), 504, 'http_response_timeout');
  });

  it('closes the connection before a head', async () => {
    origin.on('/no-head', (_request, answer) => answer.cut());
    expectFailure(await ask(`${weir.url}/no-head`), 502, '(connection_terminated|http_response_incomplete)');
  });

  it('sends something that is not HTTP', async () => {
    origin.on('/noise', (_request, answer) => answer.raw('noise\r\n\r\n'));
    expectFailure(await ask(`${weir.url}/noise`), 502, 'http_protocol_error');
  });

  it.each([
    ['sends lengths that differ', 'HTTP/1.1 200 OK', 'Content-Length: 5\r\nContent-Length: 6'],
    ['uses a transfer coding that was not requested', 'HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, chunked'],
    ['sends a 304 to an unconditional request', 'HTTP/1.1 304 Not Modified', 'ETag: "1"'],
  ])('%s, which is not stored', async (what, status, fields) => {
    const path = `/fault/${what.replaceAll(' ', '-')}`;
    origin.on(path, (_request, answer) =>
      answer.raw(`${status}\r\nCache-Control: max-age=60\r\n${fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`),
    );
    for (const method of ['GET', 'GET', 'POST']) {
      expectFailure(await ask(`${weir.url}${path}`, { method }), 502, 'http_protocol_error');
    }
    expect(origin.count(path)).toBe(3);
  });

  it('stops in the middle of the content, cacheable or not', async () => {
    for (const policy of ['max-age=60', 'no-store']) {
      origin.on('/stops', async (_request, answer) => {
        answer.raw(`HTTP/1.1 200 OK\r\nCache-Control: ${policy}\r\nContent-Length: 10\r\n\r\nfive.`);
        await answer.gone;
      });
      expect(await ask(`${weir.url}/stops`)).toMatchObject({ status: 200, body: 'five.', whole: false });
    }
  });

  it('cuts the content, cacheable or not', async () => {
    for (const policy of ['max-age=60', 'no-store']) {
      for (const framing of [
        ['Content-Length', '10'],
        ['Transfer-Encoding', 'chunked'],
      ]) {
        origin.on('/cuts', async (_request, answer) => {
          answer.head(200, ['Cache-Control', policy, ...framing]);
          await answer.write('five.');
          answer.cut();
        });
        expect((await ask(`${weir.url}/cuts`)).whole).toBe(false);
      }
    }
  });

  it('cuts the connection of a write; a safe request is retried once', async () => {
    let isCut = true;
    origin.on('/retried', (_request, answer) => {
      if (isCut) answer.cut();
      else answer.send(200, [], 'fine');
      isCut = false;
    });
    expect(await ask(`${weir.url}/retried`)).toMatchObject({ status: 200, body: 'fine' });
    isCut = true;
    expect(await ask(`${weir.url}/retried`, { method: 'POST' })).toMatchObject({ status: 502 });
  });

  it('has too many requests waiting for it', async () => {
    const held = gate();
    origin.on('/small/*', async (_request, answer) => {
      await held.promise;
      answer.send(200, ['Cache-Control', 'no-store'], 'served');
    });
    const asked = Array.from({ length: 100 }, (_, i) => ask(`${weir.url}/small/${i}`));
    const refused: Answer[] = [];
    // Requests beyond connections and queue are answered while the others wait.
    await new Promise<void>((resolve) => {
      for (const one of asked) {
        void one.then((answer) => {
          // Connections are divided between workers; each worker has a whole queue.
          if (answer.status === 503 && refused.push(answer) === 100 - 2 - 2 * 8) resolve();
        });
      }
    });
    held.open();
    const answers = await Promise.all(asked);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(2 + 2 * 8);
    for (const answer of refused) {
      expectFailure(answer, 503, 'connection_limit_reached');
      expect(answer.headers['retry-after']).toBe('1');
    }
    expect(origin.maxRunning).toBeLessThanOrEqual(8);
  });
});

describe('a thousand requests at once', () => {
  it('are all answered, although the origin serves few at a time', async () => {
    origin.on('/many/*', { fields: ['Cache-Control', 'no-store'], body: 'served' });
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => ask(`${weir.url}/many/${i}`)));
    expect(answers.filter(({ status, body }) => status === 200 && body === 'served')).toHaveLength(1_000);
  });
});

describe('many requests for one URL of a failing origin', () => {
  it.each([500, 502, 503, 504])('all get its %i, and cause few requests', async (status) => {
    const held = gate();
    origin.on('/failing', async ({ headers }, answer) => {
      await held.promise;
      answer.send(status, ['Set-Cookie', `of=${headers.cookie}`], `for ${headers.cookie}`);
    });
    const asked = Array.from({ length: 100 }, (_, i) =>
      ask(`${weir.url}/failing?${status}`, { headers: { Cookie: String(i) } }),
    );
    await origin.seen('/failing');
    held.open();
    for (const [i, answer] of (await Promise.all(asked)).entries()) {
      expect(answer.status).toBe(status);
      if (answer.body === `for ${i}`) continue;
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(answer.headers['set-cookie']).toBe(undefined);
    }
    expect(origin.count()).toBeLessThan(10);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startListener } from '../../proxy/http/listener.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { answerOk, LIMITS, listen, RawClient, statuses, talk } from './harness.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

describe('stopping', () => {
  it('lets running requests finish with Connection: close, and accepts no new ones', async () => {
    const listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const exchange = await listener.exchange(0);
    const stopped = listener.stop(60_000);
    const late = new RawClient(listener.port);
    await late.closed;
    expect(late.received).toBe('');
    answerOk(exchange);
    const received = await client.untilClosed();
    expect(received).toContain('Connection: close');
    expect(received.endsWith('ok')).toBe(true);
    expect(await stopped).toBe(0);
    expect(listener.connections()).toBe(0);
  });

  it('closes idle connections at once', async () => {
    const listener = await listen({ onExchange: answerOk });
    const silent = new RawClient(listener.port);
    const idle = new RawClient(listener.port).send(GET);
    await idle.until('ok');
    while (listener.connections() < 2) await new Promise(setImmediate);
    expect(await listener.stop(60_000)).toBe(0);
    await Promise.all([silent.closed, idle.closed]);
  });

  it('RFC 9112 §9.6: answers a request that was in transit on an idle connection, with Connection: close', async () => {
    const listener = await listen({ onExchange: answerOk });
    const client = new RawClient(listener.port).send(GET);
    await client.until('ok');
    client.received = '';
    const stopped = listener.stop(60_000);
    client.send(GET);
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200]);
    expect(received).toContain('Connection: close');
    expect(await stopped).toBe(0);
  });

  it('finishes an answer whose head was sent before, and closes the connection then', async () => {
    const listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const sink = (await listener.exchange(0)).stream(200, []);
    await client.until('keep-alive');
    const stopped = listener.stop(60_000);
    sink.write(Buffer.from('whole'));
    sink.end();
    expect((await client.untilClosed()).endsWith('whole\r\n0\r\n\r\n')).toBe(true);
    expect(await stopped).toBe(0);
  });

  it.each(['GET', 'POST'])(
    'RFC 9112 §9.6: begins no %s after a response with Connection: close',
    async (method) => {
      const listener = await listen();
      const client = new RawClient(listener.port).send(GET);
      const exchange = await listener.exchange(0);
      const stopped = listener.stop(60_000);
      const sink = exchange.stream(200, []);
      await client.until('Connection: close');
      client.send(`${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx`);
      // After two round trips the listener has read the request.
      for (const piece of ['first', 'second']) {
        sink.write(Buffer.from(piece));
        await client.until(piece);
      }
      sink.end();
      for (const late of listener.exchanges.slice(1)) answerOk(late);
      expect(statuses(await client.untilClosed())).toEqual([200]);
      expect(await stopped).toBe(0);
      expect(listener.exchanges).toHaveLength(1);
    },
  );

  it('closes a connection whose last content arrives after its response', async () => {
    const listener = await listen({ onExchange: answerOk });
    const client = new RawClient(listener.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx');
    await client.until('ok');
    const other = new RawClient(listener.port).send(GET);
    await other.until('ok');
    const stopped = listener.stop(60_000);
    // The idle connections have been closed.
    await other.closed;
    client.send('x');
    await client.closed;
    expect(await stopped).toBe(0);
  });

  it('answers all requests that were pipelined before', async () => {
    const listener = await listen();
    const client = new RawClient(listener.port).send(GET + GET);
    await listener.exchange(1);
    const stopped = listener.stop(60_000);
    for (const exchange of listener.exchanges) answerOk(exchange);
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200, 200]);
    expect(received.match(/^Connection: .*/gm)).toEqual(['Connection: keep-alive', 'Connection: close']);
    expect(await stopped).toBe(0);
  });

  it('cuts what takes longer than the given time, and reports how many', async () => {
    const listener = await listen();
    const clients = [1, 2].map(() => new RawClient(listener.port).send(GET));
    const exchange = await listener.exchange(1);
    const gone = new Promise<void>((resolve) => exchange.onGone(resolve));
    expect(await listener.stop(20)).toBe(2);
    await gone;
    await Promise.all(clients.map((client) => client.closed));
    expect(clients.map((client) => client.received)).toEqual(['', '']);
  });
});

describe('startListener', () => {
  it("reports why it can't listen", async () => {
    await using listener = await listen();
    const options = { host: '127.0.0.1', port: listener.port, reusePort: false, limits: LIMITS, tls: null };
    const rest = {
      underscores: 'drop' as const,
      onFieldsDropped: () => {},
      onTooSlow: () => {},
      onExchange: answerOk,
      connectionsInUse: { add: () => 0 },
      log: { warn: () => {}, error: () => {} },
    };
    expect(await startListener({ ...options, ...rest })).toMatchObject({
      kind: 'failed',
      code: 'EADDRINUSE',
    });
    const tls = { certFile: '/nonexistent/cert', keyFile: '/nonexistent/key' };
    expect(await startListener({ ...options, port: 0, tls, ...rest })).toMatchObject({
      kind: 'failed',
      code: 'ENOENT',
    });
  });

  it('shares a port where that is requested', async () => {
    const options = { host: '127.0.0.1', reusePort: true, limits: LIMITS, tls: null };
    const rest = {
      underscores: 'drop' as const,
      onFieldsDropped: () => {},
      onTooSlow: () => {},
      onExchange: answerOk,
      connectionsInUse: { add: () => 0 },
      log: { warn: () => {}, error: () => {} },
    };
    const first = await startListener({ ...options, port: 0, ...rest });
    if (first.kind === 'failed') throw new Error(first.message);
    const second = await startListener({ ...options, port: first.port, ...rest });
    expect(second).toMatchObject({ kind: 'listening', port: first.port });
    await first.end();
    if (second.kind === 'listening') await second.end();
  });
});

describe('listen.tls', () => {
  let folder: string;
  let tls: { certFile: string; keyFile: string };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weir-tls-'));
    tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
    await writeFile(tls.certFile, tlsCertificate);
    await writeFile(tls.keyFile, tlsKey);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('makes the listener answer over TLS, with the scheme https', async () => {
    await using listener = await listen({ tls, onExchange: answerOk });
    expect(await text(await ask(listener.port))).toBe('ok');
    expect(listener.exchanges[0]!.scheme).toBe('https');
    expect(listener.exchanges[0]!.authority).toBe(tlsName);
    expect(listener.exchanges[0]!.remoteAddress).toBe('127.0.0.1');
    while (listener.connections() > 0) await new Promise(setImmediate);
  });

  it('answers 503 over TLS to a connection beyond the maximum', async () => {
    await using listener = await listen({ tls, limits: { connections: 0 } });
    expect((await ask(listener.port)).statusCode).toBe(503);
  });

  it('closes a connection that does not speak TLS, and continues', async () => {
    await using listener = await listen({ tls, onExchange: answerOk });
    expect(statuses(await talk(listener.port, GET))).toEqual([]);
    expect((await ask(listener.port)).statusCode).toBe(200);
  });

  it.each(['', '\x16\x03\x01\x02\x00\x01\x00'])(
    'closes a connection that ends within its handshake: %j',
    async (bytes) => {
      await using listener = await listen({ tls, limits: { requestMs: 200 } });
      const client = new RawClient(listener.port).send(bytes);
      while (listener.connections() === 0) await new Promise(setImmediate);
      client.socket.end();
      await expect.poll(() => listener.connections()).toBe(0);
    },
  );

  it('stops although a client has not finished its handshake', async () => {
    const listener = await listen({ tls });
    const client = new RawClient(listener.port);
    while (listener.connections() === 0) await new Promise(setImmediate);
    expect(await listener.stop(20)).toBe(0);
    await client.closed;
  });

  it("reports why it can't listen with an invalid key", async () => {
    const broken = { certFile: tls.certFile, keyFile: tls.certFile };
    await expect(listen({ tls: broken })).rejects.toThrow();
  });
});

function ask(port: number): Promise<IncomingMessage> {
  const options = { port, host: '127.0.0.1', servername: tlsName, ca: tlsCertificate, agent: false };
  return new Promise((resolve, reject) => {
    request({ ...options, headers: { Host: tlsName } }, resolve)
      .on('error', reject)
      .end();
  });
}

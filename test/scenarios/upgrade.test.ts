/** Tests protocol switches and event streams, which are for one client and last long. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { until } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, askHead, cacheStatusOf, firstBytes, RawConnection } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 2 }
    cache: { memory: 32MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}", timeouts: { body: 100ms } } }
  `,
  (started) => ({ origin, weir } = started),
);

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

function handshake(path: string, protocols = 'websocket'): RawConnection {
  const client = new RawConnection(weir.port);
  client.write(
    `GET ${path} HTTP/1.1\r\nHost: a.test\r\nUpgrade: ${protocols}\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  return client;
}

describe('WebSocket', () => {
  it('connects the client to the origin, and bytes go both ways until one side ends', async () => {
    let isOver = false;
    origin.onUpgrade((request, socket) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Accept: ${acceptOf(String(request.headers['sec-websocket-key']))}\r\n\r\nhello`,
      );
      socket.on('data', (bytes: Buffer) => socket.write(Buffer.concat([Buffer.from('echo '), bytes])));
      socket.on('end', () => {
        isOver = true;
        socket.end();
      });
    });
    const client = handshake('/chat?room=1');
    const head = await client.comes('hello');
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    expect(head).toContain(`Sec-WebSocket-Accept: ${acceptOf(KEY)}`);
    expect(origin.requests.at(-1)?.url).toBe('/chat?room=1');
    client.write('one');
    await client.comes('echo one');
    client.write(Buffer.from([0x81, 0x00, 0xff]));
    await client.comes('echo \x81\x00\xff');
    client.close();
    await until(() => isOver, 'the origin sees the end');
  });

  it('is closed for the client when the origin ends it', async () => {
    origin.onUpgrade((_request, socket) => {
      socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbye');
    });
    const client = handshake('/short');
    expect(await client.ended()).toMatch(/bye$/);
  });

  it("passes on the origin's answer if that does not switch", async () => {
    origin.onUpgrade((_request, socket) => {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: rule\r\n\r\nno');
    });
    const answer = await handshake('/forbidden').ended();
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).toMatch(/X-Why: rule/i);
    expect(answer).toMatch(/Cache-Status: weir; fwd=bypass/i);
    expect(answer).toMatch(/\r\n\r\nno$/);
  });

  it('RFC 9110 §7.8: is not switched to a protocol that was not requested', async () => {
    for (const answered of ['h2c', 'websocket, h2c', 'other', null]) {
      origin.onUpgrade((request, socket) => {
        expect(request.headers.upgrade).toBe('websocket');
        const upgrade = answered === null ? '' : `Upgrade: ${answered}\r\n`;
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${upgrade}Connection: Upgrade\r\n\r\nsmuggled`);
      });
      const answer = await handshake('/elsewhere', 'websocket, h2c').ended();
      expect(answer).toMatch(/^HTTP\/1\.1 502 /);
      // Without the field Node's HTTP client reports a malformed answer.
      const error = answered === null ? 'connection_terminated' : 'http_protocol_error';
      expect(answer).toContain(`Proxy-Status: weir; error=${error}`);
      expect(answer).not.toContain('smuggled');
    }
  });

  it('reports that the origin failed', async () => {
    origin.onUpgrade((_request, socket) => socket.destroy());
    const answer = await handshake('/cut').ended();
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
    expect(answer).toMatch(/Proxy-Status: weir; error=/i);
  });
});

describe('a stream of events', () => {
  it("is for one client, is passed on as it arrives, and may pause for longer than the body's timeout", async () => {
    const events: ((text: string) => void)[] = [];
    origin.on('/events', (_request, answer) => {
      answer.head(200, ['Content-Type', 'text/event-stream', 'Cache-Control', 'max-age=60']);
      void answer.write('data: first\n\n');
      events.push((text) => void answer.write(text));
      return answer.gone.then(() => {});
    });
    const headers = { Accept: 'text/event-stream' };
    const clients = await Promise.all([1, 2].map(() => askHead(`${weir.url}/events`, { headers })));
    const first = clients.map(firstBytes);
    for (const bytes of await Promise.all(first)) expect(String(bytes)).toBe('data: first\n\n');
    expect(events).toHaveLength(2);
    // The body's timeout of 100 ms has passed many times when another request has met it.
    origin.on('/stuck', async (_request, answer) => {
      answer.head(200, ['Content-Length', '10']);
      await answer.write('five.');
      await answer.gone;
    });
    for (let i = 0; i < 3; i += 1) expect((await ask(`${weir.url}/stuck`)).whole).toBe(false);
    const next = clients.map(firstBytes);
    for (const send of events) send('data: later\n\n');
    for (const bytes of await Promise.all(next)) expect(String(bytes)).toBe('data: later\n\n');
    for (const client of clients) client.destroy();
  });

  it('is not stored, and delays no other client, where the client did not say that it wants one', async () => {
    origin.on('/plain-events', async (_request, answer) => {
      answer.head(200, ['Content-Type', 'text/event-stream', 'Cache-Control', 'max-age=60']);
      await answer.write('data: first\n\n');
      await answer.gone;
    });
    const clients = await Promise.all([1, 2, 3].map(() => askHead(`${weir.url}/plain-events`)));
    for (const client of clients) {
      expect(cacheStatusOf({ headers: client.headers as Record<string, string> })['stored']).toBeUndefined();
      expect(String(await firstBytes(client))).toBe('data: first\n\n');
      client.destroy();
    }
    expect(origin.count('/plain-events')).toBe(3);
  });
});

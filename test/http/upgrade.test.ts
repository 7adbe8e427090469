import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { answerOk, listen, RawClient, statuses, talk } from './harness.ts';

const UPGRADE = 'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n';

/** Two ends of a TCP connection: one for the listener, as the origin's, and one to act as the origin. */
async function originPair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const { port } = server.address() as AddressInfo;
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = await accepted;
  server.close();
  far.on('error', () => {});
  return { near, far };
}

async function readUntil(socket: Socket, text: string): Promise<string> {
  let received = '';
  while (!received.includes(text)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    received += chunk.toString('latin1');
  }
  return received;
}

describe('an exchange that requests a protocol switch', () => {
  it('is connected with the origin: both directions, and what either side sent early', async () => {
    await using listener = await listen();
    const { near, far } = await originPair();
    const client = new RawClient(listener.port).send(`${UPGRADE}early `);
    const exchange = await listener.exchange(0);
    expect(exchange.upgrade).toEqual(['websocket']);
    expect(exchange.body).toBeNull();
    exchange.tunnel(101, ['X-Protocol', 'chat'], near, Buffer.from('welcome'));
    const received = await client.until('welcome');
    expect(received).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nX-Protocol: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nwelcome',
    );
    client.send('ping');
    expect(await readUntil(far, 'ping')).toBe('early ping');
    far.write('pong');
    await client.until('pong');
    far.destroy();
    client.leave();
  });

  it('is closed when both sides have been silent for limits.tunnel', async () => {
    await using listener = await listen({ limits: { tunnelMs: 40 } });
    const { near, far } = await originPair();
    const client = new RawClient(listener.port).send(UPGRADE);
    (await listener.exchange(0)).tunnel(101, [], near, Buffer.alloc(0));
    far.resume();
    await Promise.all([client.closed, once(far, 'end')]);
  });

  it('continues for the side that has not finished', async () => {
    await using listener = await listen();
    const { near, far } = await originPair();
    const client = new RawClient(listener.port).send(UPGRADE);
    const exchange = await listener.exchange(0);
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    exchange.tunnel(101, [], near, Buffer.alloc(0));
    await client.until('\r\n\r\n');
    client.socket.end('last words');
    far.resume();
    await once(far, 'end');
    far.end('answer');
    expect((await client.untilClosed()).endsWith('answer')).toBe(true);
    expect(await end).toMatchObject({ complete: true });
  });

  it('closes the client when the origin fails, and the origin when the client leaves', async () => {
    await using listener = await listen();
    const first = await originPair();
    const client = new RawClient(listener.port).send(UPGRADE);
    (await listener.exchange(0)).tunnel(101, [], first.near, Buffer.alloc(0));
    await client.until('\r\n\r\n');
    first.far.resetAndDestroy();
    await client.closed;

    const second = await originPair();
    const leaving = new RawClient(listener.port).send(UPGRADE);
    (await listener.exchange(1)).tunnel(101, [], second.near, Buffer.alloc(0));
    await leaving.until('\r\n\r\n');
    const ended = once(second.far.resume(), 'end');
    leaving.socket.resetAndDestroy();
    await ended;
    expect(second.near.destroyed).toBe(true);
    second.far.destroy();
  });

  it('can be answered like any other, whole or streamed, and closes then', async () => {
    await using listener = await listen({
      onExchange: (exchange) => {
        if (exchange.target === '/chat') return exchange.respond(403, [], Buffer.from('no'));
        const sink = exchange.stream(200, []);
        sink.write(Buffer.from('streamed'));
        return sink.end();
      },
    });
    const refused = await talk(listener.port, `${UPGRADE}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(statuses(refused)).toEqual([403]);
    expect(refused).toContain('Connection: close');
    expect(refused.endsWith('no')).toBe(true);
    const streamed = await talk(listener.port, UPGRADE.replace('/chat', '/other'));
    expect(streamed.endsWith('8\r\nstreamed\r\n0\r\n\r\n')).toBe(true);
    expect(listener.exchanges.length).toBe(2);
  });

  it('is rejected like any other where its head is malformed', async () => {
    await using listener = await listen();
    expect(statuses(await talk(listener.port, UPGRADE.replace('Host: a', 'Host: a\r\nHost: b')))).toEqual([
      400,
    ]);
    expect(listener.exchanges.length).toBe(0);
  });

  it("closes the origin's connection where the client has gone before the tunnel", async () => {
    await using listener = await listen();
    const { near } = await originPair();
    const client = new RawClient(listener.port).send(UPGRADE);
    const exchange = await listener.exchange(0);
    exchange.abort();
    await client.closed;
    exchange.tunnel(101, [], near, Buffer.alloc(0));
    expect(near.destroyed).toBe(true);
  });

  it.for([
    [
      'content',
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n',
    ],
    ['another method', 'DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['h2c', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n'],
    ...['h2c, HTTP/2.0', 'H2C-14', 'h2', 'TLS/1.2', 'http/1.1, tls/1.0, h3', 'a b', ','].map(
      (value) =>
        [
          value,
          `GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: ${value}\r\n\r\n`,
        ] as const,
    ),
    ['no Connection: Upgrade', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: x\r\n\r\n'],
  ] as const)('RFC 9110 §7.8: ignores Upgrade with %s', async ([, request]) => {
    await using listener = await listen({ onExchange: answerOk });
    expect(statuses(await talk(listener.port, request))).toEqual([200]);
    expect(listener.exchanges[0]!.upgrade).toBeNull();
  });

  it.for([
    ['websocket, h2c', ['websocket']],
    ['h2c, websocket', ['websocket']],
    ['H2C ,WebSocket, HTTP/2.0, TLS/1.0', ['websocket']],
    ['foo/2, websocket, FOO/2', ['foo/2', 'websocket']],
    ['h2c\r\nUpgrade: websocket', ['websocket']],
  ] as const)('RFC 9110 §7.8: offers no other version of HTTP: %s', async ([value, offered]) => {
    await using listener = await listen({ onExchange: answerOk });
    await talk(
      listener.port,
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${value}\r\n\r\n`,
    );
    expect(listener.exchanges[0]!.upgrade).toEqual(offered);
  });

  it.for([
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', [200, 501]],
    ['Upgrade', UPGRADE, [200, 200]],
  ] as const)('does not take the connection from earlier requests: %s', async ([, request, expected]) => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(`GET / HTTP/1.1\r\nHost: a\r\n\r\n${request}`);
    const sink = (await listener.exchange(0)).stream(200, ['Content-Length', '8000000']);
    sink.onDrain(() => sink.end());
    expect(sink.write(Buffer.alloc(8_000_000))).toBe(false);
    if (expected[1] === 200) (await listener.exchange(1)).respond(200, [], Buffer.from('the last response'));
    expect(
      statuses(await client.until(expected[1] === 200 ? 'the last response' : 'CONNECT is not supported')),
    ).toEqual(expected);
    client.leave();
  });

  it('ends with the listener', async () => {
    const listener = await listen();
    const { near, far } = await originPair();
    const client = new RawClient(listener.port).send(UPGRADE);
    (await listener.exchange(0)).tunnel(101, [], near, Buffer.alloc(0));
    await client.until('\r\n\r\n');
    const ended = once(far.resume(), 'end');
    expect(await listener.stop(60_000)).toBe(0);
    await Promise.all([client.closed, ended]);
    far.destroy();
  });
});

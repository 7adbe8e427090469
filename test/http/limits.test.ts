import { describe, expect, it } from 'vitest';
import { answerOk, LIMITS, listen, RawClient, statuses, talk } from './harness.ts';

describe('limits.url', () => {
  it('accepts a target of exactly that length, and answers 414 to a longer one', async () => {
    await using listener = await listen({ onExchange: answerOk });
    const longest = `/${'a'.repeat(LIMITS.urlBytes - 1)}`;
    expect(statuses(await talk(listener.port, closing(`GET ${longest}`)))).toEqual([200]);
    const received = await talk(listener.port, closing(`GET ${longest}a`));
    expect(statuses(received)).toEqual([414]);
    expect(received).toContain('"status":414');
    expect(listener.exchanges.length).toBe(1);
  });

  it('answers 414, not 431, to a target that is too long for the parser', async () => {
    await using listener = await listen();
    expect(statuses(await talk(listener.port, closing(`GET /${'a'.repeat(60_000)}`)))).toEqual([414]);
  });
});

describe('limits.headers and limits.header-count', () => {
  it('answers 431 to fields that are too large together', async () => {
    await using listener = await listen({ onExchange: answerOk });
    expect(statuses(await talk(listener.port, closing('GET /', field(3_900))))).toEqual([200]);
    expect(statuses(await talk(listener.port, closing('GET /', field(4_100))))).toEqual([431]);
    expect(statuses(await talk(listener.port, closing('GET /', field(60_000))))).toEqual([431]);
  });

  it('answers 431 to too many fields, and drops none of those that it accepts', async () => {
    await using listener = await listen({ onExchange: answerOk });
    expect(statuses(await talk(listener.port, closing('GET /', many(18))))).toEqual([200]);
    expect(listener.exchanges[0]!.fields.length).toBe(2 * 20);
    expect(statuses(await talk(listener.port, closing('GET /', many(19))))).toEqual([431]);
  });

  it('counts beyond the number at which the parser starts to drop fields', async () => {
    await using listener = await listen({
      limits: { headerCount: 3_000, headersBytes: 100_000 },
      onExchange: answerOk,
    });
    expect(statuses(await talk(listener.port, closing('GET /', many(2_500))))).toEqual([200]);
    expect(listener.exchanges[0]!.fields.length).toBe(2 * 2_502);
  });
});

describe('limits.body', () => {
  it('answers 413 at once where Content-Length exceeds it, without an exchange', async () => {
    await using listener = await listen();
    const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${LIMITS.bodyBytes + 1}\r\n\r\n`;
    expect(statuses(await talk(listener.port, head))).toEqual([413]);
    expect(listener.exchanges.length).toBe(0);
  });

  it('answers 413 instead of 100 to an expectation', async () => {
    await using listener = await listen();
    const head = `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n\r\n`;
    expect(statuses(await talk(listener.port, head))).toEqual([413]);
  });

  it('answers 413 while chunked content arrives, and reports that to its reader', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    const exchange = await listener.exchange(0);
    let gone = 0;
    let bytes = 0;
    exchange.onGone(() => (gone += 1));
    exchange.body!.on('data', (chunk: Buffer) => (bytes += chunk.length));
    const failure = new Promise<Error>((resolve) => exchange.body!.on('error', resolve));
    client.send(`C350\r\n${'x'.repeat(50_000)}\r\n`.repeat(3));
    expect(statuses(await client.untilClosed())).toEqual([413]);
    expect((await failure).message).toContain('100000');
    expect(bytes).toBeLessThanOrEqual(LIMITS.bodyBytes);
    expect(gone).toBe(1);
    exchange.respond(200, [], Buffer.from('too late'));
    expect(client.received).not.toContain('too late');
  });

  it('accepts content of exactly that length', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${LIMITS.bodyBytes}\r\n\r\n`);
    client.send('x'.repeat(LIMITS.bodyBytes));
    const exchange = await listener.exchange(0);
    let bytes = 0;
    for await (const chunk of exchange.body!) bytes += (chunk as Buffer).length;
    answerOk(exchange);
    expect(bytes).toBe(LIMITS.bodyBytes);
    await client.until('ok');
    client.leave();
  });
});

describe('limits.request', () => {
  /** Everything else takes far less time, also where this process has to wait for a processor. */
  const SOON = { requestMs: 2_000 };

  it('answers 408 where the head is not complete in time', async () => {
    await using listener = await listen({ limits: SOON });
    expect(statuses(await talk(listener.port, 'GET / HTTP/1.1\r\nHost: a\r\n'))).toEqual([408]);
  });

  it('answers 408 where the content is not complete in time, and reports that to its reader', async () => {
    await using listener = await listen({ limits: SOON });
    const client = new RawClient(listener.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
    const { body } = await listener.exchange(0);
    const failure = new Promise<Error>((resolve) => body!.on('error', resolve));
    body!.resume();
    expect(statuses(await client.untilClosed())).toEqual([408]);
    expect((await failure).message).not.toBe('');
  });

  it('answers 408 where content arrives a byte at a time, also where the answer was already given', async () => {
    const slow = { requestMs: 20_000, bodyGraceMs: 200, bodyBytesPerSecond: 1_000 };
    await using listener = await listen({ limits: slow });
    for (const isAnswered of [false, true]) {
      const client = new RawClient(listener.port);
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n');
      const exchange = await listener.exchange(listener.exchanges.length);
      exchange.body!.resume();
      if (isAnswered) answerOk(exchange);
      const trickle = setInterval(() => client.send('x'), 20);
      const received = await client.untilClosed();
      clearInterval(trickle);
      expect(statuses(received)).toEqual([isAnswered ? 200 : 408]);
    }
  });

  it('accepts content that arrives steadily, however long the whole takes', async () => {
    const limits = { requestMs: 400, bodyGraceMs: 200, bodyBytesPerSecond: 1_000 };
    await using listener = await listen({ limits });
    const client = new RawClient(listener.port);
    const length = 60_000;
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
    const exchange = await listener.exchange(0);
    let bytes = 0;
    exchange.body!.on('data', (chunk: Buffer) => (bytes += chunk.length));
    const whole = new Promise((resolve) => exchange.body!.once('end', resolve));
    const durableClock = setInterval(() => client.send('x'.repeat(1_000)), 20);
    await whole;
    clearInterval(durableClock);
    expect(bytes).toBe(length);
    answerOk(exchange);
    expect(statuses(await client.until('ok'))).toEqual([200]);
    client.leave();
  });

  it('does not count the time for which Weir does not read the content', async () => {
    await using listener = await listen({ limits: { requestMs: 300, bodyGraceMs: 100 } });
    const client = new RawClient(listener.port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`);
    const { body } = await listener.exchange(0);
    body!.once('readable', () => {});
    // Other connections time out meanwhile, which shows that the rate was checked.
    for (let i = 0; i < 3; i += 1) await talk(listener.port, 'GET / HTTP/1.1\r\n');
    let bytes = 0;
    for await (const chunk of body!) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(100_000);
    answerOk(listener.exchanges[0]!);
    await client.until('ok');
    client.leave();
  });

  it('closes a connection without a request, and without an answer', async () => {
    await using listener = await listen({ limits: { requestMs: 60 } });
    expect(await new RawClient(listener.port).untilClosed()).toBe('');
  });

  it('does not count the time that the answer takes', async () => {
    await using listener = await listen({ limits: SOON });
    const client = new RawClient(listener.port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const exchange = await listener.exchange(0);
    // Another connection times out meanwhile, which shows that the check has run.
    await new RawClient(listener.port).untilClosed();
    answerOk(exchange);
    expect(statuses(await client.until('ok'))).toEqual([200]);
    client.leave();
  });
});

describe('limits.idle', () => {
  it('closes a connection that sends no further request', async () => {
    await using listener = await listen({ limits: { idleMs: 40 }, onExchange: answerOk });
    expect(statuses(await talk(listener.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'))).toEqual([200]);
  });

  it('closes a connection whose client has stopped reading', async () => {
    await using listener = await listen({ limits: { idleMs: 80 } });
    const client = new RawClient(listener.port);
    client.socket.pause();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const exchange = await listener.exchange(0);
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    exchange.respond(200, [], Buffer.alloc(64 * 1024 * 1024));
    expect(await end).toMatchObject({ complete: false });
    client.leave();
  });

  it('closes it also where the answer had to wait for another one', async () => {
    await using listener = await listen({ limits: { idleMs: 80 } });
    const client = new RawClient(listener.port);
    client.socket.pause();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2));
    const second = await listener.exchange(1);
    const end = new Promise((resolve) => second.onEnd(resolve));
    second.respond(200, [], Buffer.alloc(64 * 1024 * 1024));
    answerOk(listener.exchanges[0]!);
    expect(await end).toMatchObject({ complete: false });
    client.leave();
  });

  it('does not close a connection that waits for its answer', async () => {
    await using listener = await listen({ limits: { idleMs: 40 } });
    const waiting = new RawClient(listener.port).send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    const slow = await listener.exchange(0);
    const other = new RawClient(listener.port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    answerOk(await listener.exchange(1));
    await other.untilClosed();
    answerOk(slow);
    expect(statuses(await waiting.until('ok'))).toEqual([200]);
  });
});

describe('limits.connections', () => {
  it('answers 503 to a connection beyond the maximum, and accepts one again when another has left', async () => {
    await using listener = await listen({ limits: { connections: 1 }, onExchange: answerOk });
    const first = new RawClient(listener.port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await first.until('ok');
    const received = await talk(listener.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statuses(received)).toEqual([503]);
    expect(received).toContain('Connection: close');
    first.leave();
    while (listener.connections() > 0) await new Promise(setImmediate);
    expect(statuses(await talk(listener.port, closing('GET /')))).toEqual([200]);
  });

  it('closes connections without an answer beyond those that may get 503', async () => {
    await using listener = await listen({ limits: { connections: 0 } });
    const clients = Array.from({ length: 65 }, () => new RawClient(listener.port));
    await Promise.race(clients.map((client) => client.closed));
    expect(clients.filter((client) => client.socket.destroyed).length).toBe(1);
    for (const client of clients) client.leave();
  });
});

function closing(start: string, fields = ''): string {
  return `${start} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${fields}\r\n`;
}

function field(bytes: number): string {
  return `X: ${'a'.repeat(bytes)}\r\n`;
}

function many(count: number): string {
  return Array.from({ length: count }, (_, n) => `X-${n}: ${n}\r\n`).join('');
}

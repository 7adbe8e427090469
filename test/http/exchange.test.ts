import { describe, expect, it } from 'vitest';
import type { SharedFields } from '../../policies/http/shared-fields.ts';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { answerOk, listen, RawClient, statuses, talk, type TestListener } from './harness.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const LAST_GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

/** Sends one request that closes its connection, and returns the exchange as the pipeline sees it. */
async function seen(request: string): Promise<Exchange> {
  await using listener = await listen({ onExchange: answerOk });
  expect(statuses(await talk(listener.port, request))).toEqual([200]);
  return listener.exchanges[0]!;
}

/** The bytes of one answer on the connection. */
async function answered(answer: (exchange: Exchange) => void, request = LAST_GET): Promise<string> {
  await using listener = await listen({ onExchange: answer });
  return await talk(listener.port, request);
}

function expecting(value: string): string {
  return `POST / HTTP/1.1\r\nHost: a\r\nExpect: ${value}\r\n\r\n`;
}

function streaming(fields: string[]): (exchange: Exchange) => void {
  return (exchange) => {
    const sink = exchange.stream(200, fields);
    sink.write(Buffer.from('ab'));
    sink.write(Buffer.from('cd'));
    sink.end();
  };
}

function content(received: string): string {
  return received.slice(received.indexOf('\r\n\r\n') + 4);
}

describe('an exchange', () => {
  it('has target, method and fields as they were received', async () => {
    const exchange = await seen(
      'GET /A/../b?x=%2f&y HTTP/1.1\r\nhOST: Shop.Example:8080\r\nConnection: close\r\nX: a\xff\r\nx:  b \r\nX:\r\n\r\n',
    );
    expect(exchange.method).toBe('GET');
    expect(exchange.target).toBe('/A/../b?x=%2f&y');
    expect(exchange.authority).toBe('shop.example:8080');
    expect(exchange.scheme).toBe('http');
    expect(exchange.fields).toEqual([
      'hOST',
      'Shop.Example:8080',
      'Connection',
      'close',
      'X',
      'a\xff',
      'x',
      'b',
      'X',
      '',
    ]);
    expect(exchange.remoteAddress).toBe('127.0.0.1');
    expect(exchange.body).toBeNull();
    expect(exchange.upgrade).toBeNull();
  });

  it("RFC 9112 §3.2.2: has an absolute target's authority instead of Host, which is rewritten", async () => {
    const exchange = await seen(
      'GET http://Shop.Example:81/x?y HTTP/1.1\r\nX: 1\r\nHost: other\r\nConnection: close\r\n\r\n',
    );
    expect(exchange.target).toBe('/x?y');
    expect(exchange.authority).toBe('shop.example:81');
    expect(exchange.fields).toEqual(['Host', 'shop.example:81', 'X', '1', 'Connection', 'close']);
  });

  it.for([
    ['GET http://b', '/'],
    ['GET http://b?x', '/?x'],
    ['OPTIONS http://b', '*'],
    ['OPTIONS *', '*'],
    ['OPTIONS /x', '/x'],
    ['GET //evil/x', '//evil/x'],
  ] as const)('RFC 9112 §3.2: has, for "%s", the target %s', async ([start, target]) => {
    expect((await seen(`${start} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n`)).target).toBe(target);
  });

  it.for([
    ['a:', 'a'],
    ['A.B:80', 'a.b:80'],
    ['[::1]:8080', '[::1]:8080'],
    ['[FE80::1]', '[fe80::1]'],
    ['a%2Db', 'a%2db'],
  ] as const)('RFC 9110 §7.2: has, for Host "%s", the authority %s', async ([host, authority]) => {
    const request = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    expect((await seen(request)).authority).toBe(authority);
  });

  it.each(['1.0', '1.1'])('RFC 9110 §7.6.3: has the version HTTP/%s of the request', async (version) => {
    const request = `GET / HTTP/${version}\r\nHost: a\r\nConnection: close\r\n\r\n`;
    expect((await seen(request)).version).toBe(version);
  });

  it('has, for HTTP/1.0 without Host, the address of the connection', async () => {
    const { authority, fields } = await seen('GET / HTTP/1.0\r\n\r\n');
    expect(authority).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(fields).toEqual([]);
  });

  it('has content also with GET, and none where Content-Length is 0', async () => {
    const get = await seen('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx');
    expect(get.body).not.toBeNull();
    const post = await seen('POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    expect(post.body).toBeNull();
  });

  it('has its whole content in both framings', async () => {
    for (const framed of [
      'Content-Length: 5\r\n\r\nhello',
      'Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nT: x\r\n\r\n',
    ]) {
      await using listener = await listen();
      const client = new RawClient(listener.port).send(`POST / HTTP/1.1\r\nHost: a\r\n${framed}`);
      const { body } = await listener.exchange(0);
      expect(Buffer.concat(await body!.toArray()).toString()).toBe('hello');
      client.leave();
    }
  });
});

describe('Expect: 100-continue', () => {
  const HEAD = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n';
  /** Runs concurrently with other safe requests. */
  const SAFE_HEAD = HEAD.replace('POST', 'GET');

  it('gets 100 when the content is first read, not before', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(HEAD);
    const exchange = await listener.exchange(0);
    expect(client.received).toBe('');
    const whole = exchange.body!.toArray();
    expect(statuses(await client.until('\r\n\r\n'))).toEqual([100]);
    client.send('hello');
    expect(Buffer.concat(await whole).toString()).toBe('hello');
    answerOk(exchange);
    expect(statuses(await client.until('ok'))).toEqual([100, 200]);
    client.leave();
  });

  it('gets no 100 where the request is rejected before, and the connection closes', async () => {
    const received = await answered((exchange) => exchange.respond(403, [], null), HEAD);
    expect(statuses(received)).toEqual([403]);
    expect(received).toContain('Connection: close');
  });

  it('gets no 100 where the content has already arrived or is empty, and the connection continues', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(
      `${SAFE_HEAD}hello${expecting('100-continue').replace('POST', 'GET')}`,
    );
    await listener.exchange(1);
    expect(Buffer.concat(await listener.exchanges[0]!.body!.toArray()).toString()).toBe('hello');
    for (const exchange of listener.exchanges) answerOk(exchange);
    client.send(GET.replace('/', '/last'));
    (await listener.exchange(2)).respond(200, [], Buffer.from('last'));
    expect(statuses(await client.until('last'))).toEqual([200, 200, 200]);
    expect(client.received).not.toContain('close');
    client.leave();
  });

  it('gets 100 after the answers to earlier requests', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(`${GET}${SAFE_HEAD}`);
    const second = await listener.exchange(1);
    const whole = second.body!.toArray();
    second.inform(103, []);
    listener.exchanges[0]!.respond(200, [], Buffer.from('first'));
    await client.until('100 Continue\r\n\r\n');
    client.send('hello');
    expect(Buffer.concat(await whole).toString()).toBe('hello');
    second.respond(200, [], Buffer.from('second'));
    expect(statuses(await client.until('second'))).toEqual([200, 100, 200]);
    client.leave();
  });

  it('gets no 100 where the answer was given before its turn', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(`${GET}${SAFE_HEAD}`);
    const second = await listener.exchange(1);
    second.body!.resume();
    second.respond(403, [], Buffer.from('second'));
    listener.exchanges[0]!.respond(200, [], Buffer.from('first'));
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200, 403]);
    expect(received.endsWith('second')).toBe(true);
  });

  it('RFC 9110 §10.1.1: is the only expectation that does not get 417', async () => {
    expect(statuses(await answered(answerOk, expecting('x')))).toEqual([417]);
    expect(statuses(await answered(answerOk, expecting('x, 100-continue')))).toEqual([417]);
  });

  it('RFC 9110 §10.1.1: is ignored in a request of HTTP/1.0', async () => {
    const request = 'POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx';
    expect(
      statuses(
        await answered((exchange) => exchange.body!.on('end', () => answerOk(exchange)).resume(), request),
      ),
    ).toEqual([200]);
  });
});

describe('requests on one connection', () => {
  it('are answered in their order, in whatever order the answers are given', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port);
    client.send(
      'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    await listener.exchange(2);
    for (const n of [2, 0, 1]) listener.exchanges[n]!.respond(200, [], Buffer.from(`<${n + 1}>`));
    expect((await client.until('<3>')).match(/<\d>/g)).toEqual(['<1>', '<2>', '<3>']);
    client.leave();
  });

  it('are read in limited number while responses are pending; all get a response', async () => {
    const held: Exchange[] = [];
    let holds = true;
    await using listener = await listen({
      onExchange: (exchange) => {
        if (exchange.target === '/other') answerOk(exchange);
        else if (holds) held.push(exchange);
        else exchange.respond(204, [], null);
      },
    });
    const client = new RawClient(listener.port).send(GET.repeat(20_000) + LAST_GET);
    await listener.exchange(255);
    await talk(listener.port, LAST_GET.replace('/', '/other'));
    expect(held).toHaveLength(256);
    holds = false;
    for (const exchange of held) exchange.respond(204, [], null);
    expect(statuses(await client.untilClosed())).toEqual(Array.from({ length: 20_001 }, () => 204));
  });

  it('continue after small content that was not read', async () => {
    await using listener = await listen({ onExchange: answerOk });
    const client = new RawClient(listener.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n');
    await client.until('ok');
    client.send('GET GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(statuses(await client.untilClosed())).toEqual([200, 200]);
    expect(listener.exchanges.map(({ target }) => target)).toEqual(['/', '/2']);
  });

  it('end where much content was not read, and the early answer arrives whole', async () => {
    const early = Buffer.from('x'.repeat(200_000));
    await using listener = await listen({ onExchange: (exchange) => exchange.respond(403, [], early) });
    const client = new RawClient(listener.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_000));
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([403]);
    expect(received).toContain('Connection: close');
    expect(content(received).length).toBe(early.length);
    expect(listener.exchanges.length).toBe(1);
  });
});

describe('respond', () => {
  it('keeps the order of fields, repeated ones apart, with obs-text', async () => {
    const fields = ['Set-Cookie', 'a=1', 'Vary', 'A', 'set-cookie', 'b=2', 'Vary', 'B', 'X', 'ä\xff'];
    const received = await answered((exchange) => exchange.respond(200, fields, Buffer.from('x')));
    expect(received).toContain('Set-Cookie: a=1\r\nVary: A\r\nset-cookie: b=2\r\nVary: B\r\nX: \xe4\xff\r\n');
    expect(content(received)).toBe('x');
  });

  it('keeps Date, or adds it', async () => {
    const date = 'Mon, 01 Jan 2024 00:00:00 GMT';
    const kept = await answered((exchange) => exchange.respond(200, ['Date', date], null));
    expect(kept.match(/^Date: .*/gm)).toEqual([`Date: ${date}`]);
    expect(await answered((exchange) => exchange.respond(200, [], null))).toMatch(/^Date: .* GMT\r$/m);
  });

  it('frames the content itself, whatever the fields say', async () => {
    const fields = [
      'Content-Length',
      '9',
      'Transfer-Encoding',
      'chunked',
      'Connection',
      'X',
      'Keep-Alive',
      'max=1',
      'Trailer',
      'T',
    ];
    const received = await answered((exchange) => exchange.respond(200, fields, Buffer.from('four')));
    expect(received).not.toMatch(/transfer-encoding|keep-alive|trailer/i);
    expect(received.match(/^(Content-Length|Connection): .*/gm)).toEqual([
      'Content-Length: 4',
      'Connection: close',
    ]);
    expect(content(received)).toBe('four');
  });

  it('sends Content-Length: 0 where there is no content', async () => {
    expect(await answered((exchange) => exchange.respond(200, [], null))).toContain('Content-Length: 0');
  });

  it.for([
    ['204', 204, null],
    ['304', 304, '4'],
  ] as const)('sends no content with %s', async ([, status, length]) => {
    const received = await answered((exchange) =>
      exchange.respond(status, ['Content-Length', '4'], Buffer.from('four')),
    );
    expect(content(received)).toBe('');
    expect(/^Content-Length: (.*)\r$/m.exec(received)?.[1] ?? null).toBe(length);
    expect(received).not.toContain('chunked');
  });

  it('sends no content to HEAD and keeps its length', async () => {
    const head = LAST_GET.replace('GET', 'HEAD');
    const received = await answered(
      (exchange) => exchange.respond(200, ['Content-Length', '4'], Buffer.from('four')),
      head,
    );
    expect(received).toContain('Content-Length: 4');
    expect(content(received)).toBe('');
    const streamed = await answered((exchange) => {
      const sink = exchange.stream(200, ['Trailer', 'X']);
      sink.write(Buffer.from('four'));
      sink.end(['X', 'y']);
    }, head);
    expect(content(streamed)).toBe('');
    expect(streamed).not.toContain('chunked');
  });

  it('states once that the connection continues, or that it ends', async () => {
    await using listener = await listen({ onExchange: answerOk });
    const client = new RawClient(listener.port).send(GET);
    expect((await client.until('ok')).match(/^Connection: .*/gm)).toEqual(['Connection: keep-alive']);
    client.received = '';
    client.send(LAST_GET);
    expect((await client.untilClosed()).match(/^Connection: .*/gm)).toEqual(['Connection: close']);
  });

  it('renders shared fields once, and answers as with all fields', async () => {
    const sent = [
      'Content-Type',
      'a/b',
      'Date',
      'd',
      'X',
      'ä',
      'Content-Length',
      '4',
      'Trailer',
      'T',
      'Connection',
      'x',
    ];
    const shared: SharedFields = { fields: sent, lines: null };
    const own: SharedFields = { fields: ['Age', '3'], lines: null };
    const four = Buffer.from('four');
    for (const request of [LAST_GET, LAST_GET.replace('GET', 'HEAD')]) {
      for (const status of [200, 304, 404]) {
        const whole = await answered(
          (exchange) => exchange.respond(status, [...sent, ...own.fields], four),
          request,
        );
        expect(await answered((exchange) => exchange.respondShared(status, shared, own, four), request)).toBe(
          whole,
        );
      }
    }
    expect(shared.lines).toEqual({
      text: 'Content-Type: a/b\r\nDate: d\r\nX: ä\r\n',
      declaredBytes: 4,
      hasDate: true,
    });
    expect(own.lines?.text).toBe('Age: 3\r\n');
  });

  it("leaves out fields that can't be written, and reports them", async () => {
    await using listener = await listen({
      onExchange: (exchange) =>
        exchange.respond(
          200,
          ['X', 'a\r\nSet-Cookie: x', 'Y Z', 'b', 'V', '\u20ac', 'W', 'w'],
          Buffer.from('x'),
        ),
    });
    const received = await talk(listener.port, LAST_GET);
    expect(statuses(received)).toEqual([200]);
    expect(received).not.toContain('Set-Cookie');
    expect(received).toContain('W: w');
    expect(listener.logged.length).toBe(1);
  });

  it.for([99, 100, 101, 1000, Number.NaN])('answers 502 where the status is %s', async (status) => {
    expect(statuses(await answered((exchange) => exchange.respond(status, [], null)))).toEqual([502]);
    expect(statuses(await answered((exchange) => exchange.stream(status, []).end()))).toEqual([502]);
  });

  it('has effect once: a second answer is not sent', async () => {
    const received = await answered((exchange) => {
      answerOk(exchange);
      exchange.respond(500, [], Buffer.from('second'));
    });
    expect(statuses(received)).toEqual([200]);
    expect(received).not.toContain('second');
  });
});

describe('stream', () => {
  it('sends the head before there is content', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const sink = (await listener.exchange(0)).stream(200, []);
    await client.until('\r\n\r\n');
    sink.write(Buffer.from('content'));
    await client.until('content');
    sink.end();
    await client.until('\r\n0\r\n\r\n');
    client.leave();
  });

  it('keeps a known length, chunks an unknown one, and ends the connection for HTTP/1.0', async () => {
    const known = await answered(streaming(['Content-Length', '4']));
    expect(known).toContain('Content-Length: 4');
    expect(content(known)).toBe('abcd');
    const chunked = await answered(streaming([]));
    expect(chunked).toContain('Transfer-Encoding: chunked');
    expect(content(chunked)).toBe('2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n');
    const old = await answered(
      streaming(['Trailer', 'T']),
      'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
    );
    expect(old).toContain('Connection: close');
    expect(old).not.toMatch(/transfer-encoding|content-length|trailer/i);
    expect(content(old)).toBe('abcd');
  });

  it('sends trailers', async () => {
    const received = await answered((exchange) =>
      exchange.stream(200, ['Trailer', 'X']).end(['X', 'a', 'X', 'b', 'Bad\n', 'c']),
    );
    expect(received.endsWith('0\r\nX: a\r\nX: b\r\n\r\n')).toBe(true);
  });

  it.for(['abcde', 'abc'])('never completes "%s" as the four bytes that it declared', async (bytes) => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(`${GET}${GET}`);
    const exchange = await listener.exchange(0);
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    const sink = exchange.stream(200, ['Content-Length', '4']);
    sink.write(Buffer.from(bytes));
    sink.end();
    expect(await end).toMatchObject({ complete: false });
    expect(content(await client.untilClosed()).length).toBeLessThan(4);
  });

  it('has effect once: nothing is sent after the end', async () => {
    const received = await answered((exchange) => {
      const sink = exchange.stream(200, []);
      const second = exchange.stream(500, []);
      sink.write(Buffer.from('ab'));
      second.write(Buffer.from('xy'));
      second.end();
      sink.end();
      sink.write(Buffer.from('cd'));
      sink.end();
    });
    expect(statuses(received)).toEqual([200]);
    expect(content(received)).toBe('2\r\nab\r\n0\r\n\r\n');
  });

  it('reports when the client does not keep up, and when there is room again', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    client.socket.pause();
    const exchange = await listener.exchange(0);
    const sink = exchange.stream(200, ['Content-Length', String(64 * 1024 * 1024)]);
    const chunk = Buffer.alloc(1024 * 1024);
    let written = 0;
    const write = () => {
      while (written < 64) {
        written += 1;
        if (!sink.write(chunk)) return;
      }
      sink.end();
    };
    const stalledAt = new Promise<number>((resolve) => {
      sink.onDrain(() => write());
      write();
      resolve(written);
    });
    expect(await stalledAt).toBeLessThan(64);
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    client.socket.removeAllListeners('data').resume();
    expect(await end).toEqual({ complete: true, bytes: 64 * 1024 * 1024 });
    client.leave();
  });
});

describe('inform', () => {
  it('sends interim responses before the answer, without fields of a connection', async () => {
    const received = await answered((exchange) => {
      exchange.inform(103, ['Link', '</a>; rel=preload', 'Connection', 'x', 'Bad\n', 'x']);
      exchange.inform(100, []);
      exchange.inform(101, []);
      exchange.inform(200, []);
      answerOk(exchange);
      exchange.inform(103, []);
    });
    expect(
      received.startsWith('HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200'),
    ).toBe(true);
    expect(statuses(received)).toEqual([103, 200]);
  });

  it('RFC 9110 §15.2: sends none to an HTTP/1.0 client', async () => {
    const received = await answered((exchange) => {
      exchange.inform(103, []);
      answerOk(exchange);
    }, 'GET / HTTP/1.0\r\n\r\n');
    expect(statuses(received)).toEqual([200]);
  });
});

describe('the end of an exchange', () => {
  it('is reported once when the client has gone, and at once to later listeners', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const exchange = await listener.exchange(0);
    const events: string[] = [];
    exchange.onGone(() => events.push('gone'));
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    client.leave();
    expect(await end).toEqual({ complete: false, bytes: 0 });
    exchange.onGone(() => events.push('gone already'));
    exchange.onEnd(({ complete }) => events.push(`complete: ${complete}`));
    expect(events).toEqual(['gone', 'gone already', 'complete: false']);
    expect(exchange.closed).toBe(true);
    exchange.respond(200, [], Buffer.from('x'));
    expect(exchange.stream(200, []).write(Buffer.from('x'))).toBe(true);
  });

  it('is reported to all exchanges with pending answers on one connection', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET.repeat(3));
    await listener.exchange(2);
    listener.exchanges[2]!.respond(200, [], Buffer.from('never sent'));
    const ends = listener.exchanges.map((exchange) => new Promise((resolve) => exchange.onEnd(resolve)));
    client.leave();
    expect(await Promise.all(ends)).toMatchObject([
      { complete: false },
      { complete: false },
      { complete: false },
    ]);
  });

  it('is an error for the reader of content that is not whole', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf.');
    const { body } = await listener.exchange(0);
    const failure = new Promise<Error>((resolve) => body!.on('error', resolve));
    body!.on('data', () => client.leave());
    expect((await failure).message).toContain('request');
  });

  it('is reported as complete with its bytes, and not as a client that has gone', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const exchange = await listener.exchange(0);
    let gone = false;
    exchange.onGone(() => (gone = true));
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    answerOk(exchange);
    expect(await end).toEqual({ complete: true, bytes: 2 });
    expect(exchange.closed).toBe(true);
    await client.until('ok');
    client.leave();
    expect(gone).toBe(false);
  });

  it.for(['HTTP/1.1', 'HTTP/1.0'])('is shown by abort to be incomplete over %s', async (version) => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(`GET / ${version}\r\nHost: a\r\n\r\n`);
    let error: NodeJS.ErrnoException | null = null;
    client.socket.on('error', (failure) => (error = failure));
    const exchange = await listener.exchange(0);
    const sink = exchange.stream(200, []);
    sink.write(Buffer.from('half'));
    await client.until('half');
    exchange.abort();
    const received = await client.untilClosed();
    if (version === 'HTTP/1.0') expect(error).toMatchObject({ code: 'ECONNRESET' });
    else expect(received).not.toContain('\r\n0\r\n');
    expect(exchange.closed).toBe(true);
  });

  it('is a 500 where the pipeline throws, and the listener continues', async () => {
    await using listener = await listen({
      onExchange: ({ target }) => {
        if (target === '/') throw new Error('secret');
      },
    });
    const received = await talk(listener.port, GET);
    expect(statuses(received)).toEqual([500]);
    expect(received).not.toContain('secret');
    expect(listener.logged.length).toBe(1);
  });
});

describe('RFC 9112 §9.6: a client that has ended its side', () => {
  /** Resolves when the listener has noticed. */
  const ended = async (listener: TestListener, client: RawClient): Promise<void> => {
    const known = Promise.withResolvers<void>();
    const other = new RawClient(listener.port);
    client.socket.end(() => known.resolve());
    await known.promise;
    // The client's end arrived before this request.
    other.send(GET);
    const count = listener.exchanges.length;
    answerOk(await listener.exchange(count));
    await other.until('ok');
    other.leave();
  };

  it('is answered, whole or in a stream', async () => {
    await using listener = await listen();
    for (const isStreamed of [false, true]) {
      const count = listener.exchanges.length;
      const client = new RawClient(listener.port).send(GET);
      const exchange = await listener.exchange(count);
      await ended(listener, client);
      if (isStreamed) streaming([])(exchange);
      else answerOk(exchange);
      const received = await client.untilClosed();
      expect(statuses(received)).toEqual([200]);
      expect(received).toContain('Connection: close');
      expect(received.endsWith(isStreamed ? '0\r\n\r\n' : 'ok')).toBe(true);
    }
  });

  it('gets the answers to all pipelined requests', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET + GET);
    await listener.exchange(1);
    await ended(listener, client);
    answerOk(listener.exchanges[1]!);
    answerOk(listener.exchanges[0]!);
    expect(statuses(await client.untilClosed())).toEqual([200, 200]);
  });

  it('RFC 9110 §15.2: gets 100 while it waits long, and then its answer', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const exchange = await listener.exchange(0);
    client.socket.end();
    await client.until('100 Continue\r\n\r\n');
    answerOk(exchange);
    const received = await client.untilClosed();
    expect(received.endsWith('ok')).toBe(true);
    expect(new Set(statuses(received))).toEqual(new Set([100, 200]));
  });

  it('gets a whole stream whose pieces are sent less than a second apart', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const exchange = await listener.exchange(0);
    await ended(listener, client);
    const sink = exchange.stream(200, ['Content-Length', '6']);
    let sent = 0;
    const pieces = setInterval(() => {
      sink.write(Buffer.from('x'));
      sent += 1;
      if (sent === 6) sink.end();
    }, 400);
    expect((await client.untilClosed()).endsWith('\r\n\r\nxxxxxx')).toBe(true);
    clearInterval(pieces);
  });

  it('gets an error response if its request is incomplete', async () => {
    await using listener = await listen();
    for (const part of ['GET / HT', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na']) {
      const client = new RawClient(listener.port).send(part);
      client.socket.end();
      expect(statuses(await client.untilClosed())).toEqual([400]);
    }
  });

  it.each([
    { reason: 'within its next request', more: 'GET / HT', keeps: false },
    { reason: 'while a connection owes its bound', more: GET + GET, keeps: true },
  ])('counts as gone if it left $reason', async ({ more, keeps }) => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET + GET);
    await listener.exchange(1);
    listener.exchanges[0]!.stream(200, []).write(Buffer.from('part'));
    if (keeps) listener.exchanges[1]!.respond(200, [], Buffer.alloc(70_000));
    await client.until('part');
    client.send(more);
    client.socket.end();
    await expect.poll(() => listener.connections(), { timeout: 10_000 }).toBe(0);
  });

  it('counts as gone if it left an event stream', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET);
    const exchange = await listener.exchange(0);
    const end = new Promise((resolve) => exchange.onEnd(resolve));
    exchange.stream(200, ['Content-Type', 'text/event-stream']).write(Buffer.from('data: a\n\n'));
    await client.until('data: a');
    client.leave();
    expect(await end).toMatchObject({ complete: false });
  });
});

describe('a connection with pending output', () => {
  it('is not read beyond a limit: no further requests begin', async () => {
    const large = Buffer.alloc(4 * 1024 * 1024);
    await using listener = await listen({ onExchange: (exchange) => exchange.respond(200, [], large) });
    const client = new RawClient(listener.port);
    client.socket.pause();
    client.send(GET.repeat(100));
    await listener.exchange(0);
    const other = new RawClient(listener.port).send(LAST_GET);
    await other.closed;
    // The number of its own connection's, and what the kernel has accepted.
    expect(listener.exchanges.length).toBeLessThan(20);
    let bytes = 0;
    client.socket.removeAllListeners('data').on('data', (chunk: Buffer) => (bytes += chunk.length));
    client.socket.resume();
    await listener.exchange(100);
    await expect.poll(() => bytes).toBeGreaterThan(100 * large.length);
    client.leave();
  });
});

describe('pipelined requests', () => {
  const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx';
  const methods = ({ exchanges }: TestListener): string[] => exchanges.map(({ method }) => method);

  it('RFC 9112 §9.3.2: run concurrently if they are safe, and otherwise in turn', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET + GET + POST + POST + GET + LAST_GET);
    await listener.exchange(1);
    answerOk(listener.exchanges[1]!);
    expect(methods(listener)).toEqual(['GET', 'GET']);
    answerOk(listener.exchanges[0]!);
    answerOk(await listener.exchange(2));
    const second = await listener.exchange(3);
    expect(methods(listener)).toEqual(['GET', 'GET', 'POST', 'POST']);
    answerOk(second);
    answerOk(await listener.exchange(5));
    answerOk(listener.exchanges[4]!);
    expect(statuses(await client.untilClosed())).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it('are streamed at the same time, beyond the limit of pending output', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET + GET + LAST_GET);
    await listener.exchange(2);
    const chunk = Buffer.alloc(50_000, 'x');
    for (const exchange of listener.exchanges) {
      const sink = exchange.stream(200, ['Content-Length', String(40 * chunk.length)]);
      let written = 0;
      const write = () => {
        while (written < 40) {
          written += 1;
          if (!sink.write(chunk)) return;
        }
        sink.end();
      };
      sink.onDrain(write);
      write();
    }
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200, 200, 200]);
    expect(received.length).toBeGreaterThan(3 * 40 * chunk.length);
  });

  it('are answered whole where the end of a response ends the next one', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET + LAST_GET);
    await listener.exchange(1);
    const [first, second] = listener.exchanges as [Exchange, Exchange];
    const sink = second.stream(200, ['Content-Length', '4']);
    sink.write(Buffer.from('ab'));
    first.onEnd(() => {
      sink.write(Buffer.from('cd'));
      sink.end();
    });
    answerOk(first);
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200, 200]);
    expect(received.endsWith('\r\n\r\nabcd')).toBe(true);
  });

  it('RFC 9112 §9.6: do not begin after a response that ends with the connection', async () => {
    await using listener = await listen();
    const kept = 'Host: a\r\nConnection: keep-alive\r\n';
    const client = new RawClient(listener.port);
    client.send(`GET / HTTP/1.0\r\n${kept}\r\nPOST / HTTP/1.0\r\n${kept}Content-Length: 1\r\n\r\nx`);
    const sink = (await listener.exchange(0)).stream(200, []);
    sink.write(Buffer.from('whole'));
    await client.until('whole');
    sink.end();
    expect((await client.untilClosed()).endsWith('\r\n\r\nwhole')).toBe(true);
    await expect.poll(() => listener.connections()).toBe(0);
    expect(methods(listener)).toEqual(['GET']);
  });

  it('leave the responses before them whole where one of them is cut', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(GET + GET + GET);
    await listener.exchange(2);
    const [first, second, third] = listener.exchanges as [Exchange, Exchange, Exchange];
    const ends: unknown[] = [];
    for (const exchange of [second, third]) exchange.onEnd(({ complete }) => ends.push(complete));
    second.stream(200, []).write(Buffer.from('part'));
    second.abort();
    expect(second.closed).toBe(true);
    answerOk(third);
    const sink = first.stream(200, ['Content-Length', '5']);
    sink.write(Buffer.from('whole'));
    sink.end();
    expect((await client.untilClosed()).endsWith('\r\n\r\nwhole')).toBe(true);
    await expect.poll(() => ends).toEqual([false, false]);
  });

  it('do not begin where the client leaves before their turn', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(POST + POST);
    const first = await listener.exchange(0);
    const gone = new Promise<void>((resolve) => first.onGone(resolve));
    client.socket.destroy();
    await gone;
    await expect.poll(() => listener.connections()).toBe(0);
    expect(methods(listener)).toEqual(['POST']);
  });

  it('do not begin where they could not be received whole before their turn', async () => {
    await using listener = await listen();
    const broken = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n';
    const client = new RawClient(listener.port).send(GET + broken);
    answerOk(await listener.exchange(0));
    expect(statuses(await client.untilClosed())).toEqual([200, 400]);
    expect(methods(listener)).toEqual(['GET']);
  });

  it('do not begin where the answer before them is cut', async () => {
    await using listener = await listen();
    const client = new RawClient(listener.port).send(POST + POST);
    (await listener.exchange(0)).abort();
    await client.closed;
    await expect.poll(() => listener.connections()).toBe(0);
    expect(methods(listener)).toEqual(['POST']);
  });
});

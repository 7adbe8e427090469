import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, RawClient, statuses, talk } from './harness.ts';
import type { TestListener } from './harness.ts';

/** Each is rejected before an exchange begins. */
const REFUSED: readonly (readonly [name: string, message: string, status: number])[] = [
  [
    'Content-Length, then Transfer-Encoding (CL.TE)',
    post('Content-Length: 5', 'Transfer-Encoding: chunked'),
    400,
  ],
  [
    'Transfer-Encoding, then Content-Length (TE.CL)',
    post('Transfer-Encoding: chunked', 'Content-Length: 5'),
    400,
  ],
  ['Content-Length twice, the same', post('Content-Length: 5', 'Content-Length: 5'), 400],
  ['Content-Length twice, different', post('Content-Length: 5', 'Content-Length: 6'), 400],
  ['Content-Length as a list', post('Content-Length: 5, 5'), 400],
  ['Content-Length with a plus sign', post('Content-Length: +5'), 400],
  ['Content-Length with a minus sign', post('Content-Length: -5'), 400],
  ['Content-Length in hexadecimal', post('Content-Length: 0x5'), 400],
  ['Content-Length with a space inside', post('Content-Length: 5 5'), 400],
  ['Content-Length with a fraction', post('Content-Length: 5.0'), 400],
  ['Content-Length with an exponent', post('Content-Length: 5e0'), 400],
  ['Content-Length beyond 64 bits', post('Content-Length: 99999999999999999999999'), 400],
  ['Content-Length empty', post('Content-Length:'), 400],
  ['Content-Length after a vertical tab', post('Content-Length: \x0b5'), 400],
  ['Content-Length with more leading zeros than plausible', post(`Content-Length: ${'0'.repeat(16)}5`), 400],
  ['obs-fold in any field', get('X: a\r\n b'), 400],
  ['obs-fold with a tab', get('X: a\r\n\tb'), 400],
  ['obs-fold that hides Transfer-Encoding', post('Transfer-Encoding:\r\n chunked'), 400],
  ['white space before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
  ['bare LF after the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400],
  ['bare LF after a field', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400],
  ['bare LF for the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400],
  ['bare LF throughout', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['bare CR in a field', get('X: a\rY: b'), 400],
  ['bare CR that hides a field', get('X: a\rTransfer-Encoding: chunked'), 400],
  ['CR CR LF', 'GET / HTTP/1.1\r\nHost: a\r\r\n\r\n', 400],
  ['space before the colon', post('Transfer-Encoding : chunked'), 400],
  ['tab before the colon', post('Content-Length\t: 5'), 400],
  ['space inside a field name', get('X Y: a'), 400],
  ['a field without a colon', get('Broken'), 400],
  ['an empty field name', get(': a'), 400],
  ['NUL in a field', get('X: a\0b'), 400],
  ['a control character in a field', get('X: a\x01b'), 400],
  ['DEL in a field', get('X: a\x7fb'), 400],
  ['obs-text in a field name', get('X\xff: a'), 400],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts, the same', get('Host: a'), 400],
  ['two Hosts, different', get('Host: b'), 400],
  ['two Hosts in different case', get('hOST: b'), 400],
  ['Host as a list', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
  ['Host empty', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
  ['Host with user information', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
  ['Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['Host with an invalid port', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n', 400],
  ['Host with a port out of range', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n', 400],
  ['Host with obs-text', 'GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n', 400],
  ['Host with an open bracket', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n', 400],
  ['Host with broken percent-encoding', 'GET / HTTP/1.1\r\nHost: a%2\r\n\r\n', 400],
  ['Transfer-Encoding that does not end in chunked', post('Transfer-Encoding: gzip'), 400],
  ['Transfer-Encoding with chunked not last', post('Transfer-Encoding: chunked, gzip'), 400],
  ['Transfer-Encoding chunked twice', post('Transfer-Encoding: chunked, chunked'), 400],
  [
    'Transfer-Encoding chunked on two lines',
    post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    400,
  ],
  ['Transfer-Encoding identity', post('Transfer-Encoding: identity'), 400],
  [
    'Transfer-Encoding identity, then chunked',
    post('Transfer-Encoding: identity', 'Transfer-Encoding: chunked'),
    400,
  ],
  [
    'Transfer-Encoding chunked, then identity',
    post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity'),
    400,
  ],
  ['Transfer-Encoding unknown', post('Transfer-Encoding: xchunked'), 400],
  ['Transfer-Encoding unknown, then chunked', post('Transfer-Encoding: x, chunked'), 400],
  ['Transfer-Encoding quoted', post('Transfer-Encoding: "chunked"'), 400],
  ['Transfer-Encoding with an empty member', post('Transfer-Encoding: ,chunked'), 400],
  ['Transfer-Encoding with a parameter', post('Transfer-Encoding: chunked;q=1'), 400],
  ['Transfer-Encoding empty', post('Transfer-Encoding:'), 400],
  ['Transfer-Encoding after a vertical tab', post('Transfer-Encoding: \x0bchunked'), 400],
  [
    'Transfer-Encoding in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding gzip, chunked (known, but not accepted)',
    post('Transfer-Encoding: gzip, chunked'),
    501,
  ],
  ['tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400],
  ['control character in the target', 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a fragment in the target', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a target without a slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['authority-form with GET', 'GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['asterisk-form with GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['asterisk-form with more after it', 'OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['absolute target with user information', 'GET http://u@b/ HTTP/1.1\r\nHost: b\r\n\r\n', 400],
  ['absolute target without a host', 'GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n', 400],
  ['absolute target of another scheme', 'GET ftp://b/ HTTP/1.1\r\nHost: b\r\n\r\n', 400],
  ['absolute target with two Hosts', 'GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['absolute target without Host', 'GET http://b/ HTTP/1.1\r\n\r\n', 400],
  ['absolute https target on a connection without TLS', 'GET https://b/ HTTP/1.1\r\nHost: b\r\n\r\n', 421],
  ['HTTP/0.9', 'GET /\r\n\r\n', 400],
  ['HTTP/0.9, named', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 400],
  ['HTTP/2.0 named on an HTTP/1.1 connection', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
  ['lower-case version', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['white space before the method', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['an unknown method', 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n', 501],
  ['TRACE with content', 'TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na', 400],
  [
    'TRACE with chunked content, though empty',
    'TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 501],
  ['the first bytes of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
];

/**
 * The head is valid, but the content is not: the exchange begins, its reader gets an error, and the client
 * gets 400.
 */
const BROKEN_CONTENT: readonly (readonly [name: string, content: string])[] = [
  ['chunk size with 0x', '0x1\r\nx\r\n0\r\n\r\n'],
  ['chunk size with a plus sign', '+1\r\nx\r\n0\r\n\r\n'],
  ['chunk size with a minus sign', '-1\r\nx\r\n0\r\n\r\n'],
  ['chunk size with white space after it', '1 \r\nx\r\n0\r\n\r\n'],
  ['chunk size with white space before it', ' 1\r\nx\r\n0\r\n\r\n'],
  ['chunk size beyond 64 bits', '10000000000000001\r\nx\r\n0\r\n\r\n'],
  ['chunk size missing', '\r\nx\r\n0\r\n\r\n'],
  ['bare LF after a chunk size', '1\nx\r\n0\r\n\r\n'],
  ['bare LF after chunk data', '1\r\nx\n0\r\n\r\n'],
  ['bare LF after the last chunk', '1\r\nx\r\n0\n\r\n'],
  ['bare LF for the end', '1\r\nx\r\n0\r\n\n'],
  ['bare LF in a chunk extension', '1;a=b\nx\r\n0\r\n\r\n'],
  ['bare CR in a chunk extension', '1;a\rb\r\nx\r\n0\r\n\r\n'],
  ['LF in a quoted chunk extension', '1;a="\n"\r\nx\r\n0\r\n\r\n'],
  ['NUL in a chunk extension', '1;\0\r\nx\r\n0\r\n\r\n'],
  ['an empty chunk extension', '1;\r\nx\r\n0\r\n\r\n'],
  ['a chunk longer than its size', '1\r\nxy\r\n0\r\n\r\n'],
  ['a chunk without its line end', '1\r\nx0\r\n\r\n'],
  ['Content-Length as a trailer', '1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n'],
  ['white space before the colon of a trailer', '1\r\nx\r\n0\r\nT : y\r\n\r\n'],
  ['obs-fold in a trailer', '1\r\nx\r\n0\r\nT: y\r\n z\r\n\r\n'],
];

const FOLLOWER = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

describe('a request that two recipients could read differently', () => {
  let listener: TestListener;
  beforeAll(async () => {
    listener = await listen();
  });
  afterAll(() => listener.end());

  it.for(REFUSED)('is rejected and the connection closed: %s', async ([, message, status]) => {
    const before = listener.exchanges.length;
    const received = await talk(listener.port, message + FOLLOWER);
    expect(statuses(received)).toEqual([status]);
    expect(received).toContain('Connection: close');
    expect(received).toContain('application/problem+json');
    expect(listener.exchanges.length).toBe(before);
  });

  it.for(BROKEN_CONTENT)('is rejected when its content is read: %s', async ([, content]) => {
    const before = listener.exchanges.length;
    const message = `POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${content}`;
    const received = await talk(listener.port, message + FOLLOWER);
    expect(statuses(received)).toEqual([400]);
    expect(received).toContain('Connection: close');
    const begun = listener.exchanges.slice(before);
    expect(begun.map((exchange) => exchange.target)).toEqual(['/chunks']);
    expect(begun[0]!.closed).toBe(true);
    expect(begun[0]!.body?.destroyed).toBe(true);
  });

  it('ends where Content-Length says, and the next one begins there', async () => {
    const before = listener.exchanges.length;
    const client = new RawClient(listener.port);
    client.send(
      'POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET GET /two HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    const first = await listener.exchange(before);
    first.body!.resume();
    first.respond(200, [], null);
    const second = await listener.exchange(before + 1);
    second.respond(204, [], null);
    expect(statuses(await client.until(' 204 '))).toEqual([200, 204]);
    expect([first.target, second.target]).toEqual(['/one', '/two']);
    client.leave();
  });

  it('is the last one after Connection: close', async () => {
    const before = listener.exchanges.length;
    const client = new RawClient(listener.port);
    client.send(`GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${FOLLOWER}`);
    const last = await listener.exchange(before);
    last.respond(200, [], Buffer.from('last'));
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200]);
    expect(received.endsWith('last')).toBe(true);
    expect(listener.exchanges.length).toBe(before + 1);
  });

  it('does not affect the answers to earlier requests, which are sent first and whole', async () => {
    const before = listener.exchanges.length;
    const client = new RawClient(listener.port);
    client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n');
    const first = await listener.exchange(before);
    first.respond(200, [], Buffer.from('first'));
    const received = await client.untilClosed();
    expect(statuses(received)).toEqual([200, 400]);
    expect(received).toContain('first');
  });
});

function get(...fields: string[]): string {
  return ['GET / HTTP/1.1', 'Host: a', ...fields, '', ''].join('\r\n');
}

function post(...fields: string[]): string {
  return ['POST / HTTP/1.1', 'Host: a', ...fields, '', '0\r\n\r\n'].join('\r\n');
}

/**
 * Tests the codec by the sections of RFC 9112. Each case is read whole, byte by byte, and cut in two at every
 * place.
 */
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ChunkedDecoder } from '../../proxy/http/h1/chunked-decoder.ts';
import { HeadParser } from '../../proxy/http/h1/head-parser.ts';
import { METHODS } from '../../proxy/http/h1/methods.ts';
import { isWritable, renderHead, renderInterim, renderTrailers } from '../../proxy/http/h1/response-head.ts';
import { REASON_PHRASES } from '../../proxy/http/reason-phrases.ts';
import { AFTER_THE_LAST, readMessages, WIDE_LIMITS, type Reading } from './codec.ts';

const HOST = 'Host: a\r\n';
const GET = `GET / HTTP/1.1\r\n${HOST}\r\n`;

function head(...fields: string[]): string {
  return `GET / HTTP/1.1\r\n${HOST}${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
}

function chunked(content: string): string {
  return `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${content}`;
}

/** Without the position, which differs for limits: more bytes at once pass a limit later. */
function readingOf({ messages, refusal }: Reading) {
  return { messages, refusal };
}

/** The reading, which must be the same however the bytes are cut. */
function read(text: string, limits = WIDE_LIMITS): ReturnType<typeof readingOf> {
  const bytes = Buffer.from(text, 'latin1');
  const whole = readingOf(readMessages([bytes], limits));
  const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  expect(readingOf(readMessages(single, limits))).toEqual(whole);
  for (let at = 1; at < bytes.length; at += 1) {
    const halves = [bytes.subarray(0, at), bytes.subarray(at)];
    expect(readingOf(readMessages(halves, limits))).toEqual(whole);
  }
  return whole;
}

function accepted(text: string): Reading['messages'] {
  const { messages, refusal } = read(text);
  expect(refusal).toBeNull();
  return messages;
}

function refused(text: string, limits = WIDE_LIMITS): string {
  const { messages, refusal } = read(text, limits);
  expect(messages).toEqual([]);
  return refusal ?? 'not refused';
}

describe('§2.2 message parsing', () => {
  it('ignores one empty line before a request', () => {
    expect(accepted(`\r\n${GET}\r\n${GET}`).length).toBe(2);
    expect(refused(`\r\n\r\n${GET}`)).toContain('request line');
  });

  it.each(['GET / HTTP/1.1\nHost: a\r\n\r\n', head('X: a\nY: b'), `GET / HTTP/1.1\r\n${HOST}\n`])(
    'rejects LF as a line end: %j',
    (text) => expect(refused(text)).toMatch(/LF|request line/),
  );

  it.each([head('X: a\rY: b'), `GET / HTTP/1.1\rHost: a\r\n\r\n`, head('X: a\r'), `\r${GET}`])(
    'rejects a bare CR: %j',
    (text) => expect(refused(text)).not.toBe('not refused'),
  );

  it('rejects white space between the request line and the first field', () => {
    expect(refused(`GET / HTTP/1.1\r\n ${HOST}\r\n`)).toContain('begins with white space');
  });

  it('keeps bytes beyond ASCII as they are', () => {
    expect(accepted(head('X: \xe4\xff'))[0]!.fields.at(-1)).toBe('\xe4\xff');
  });
});

describe('§2.3 version', () => {
  it.each(['1.0', '1.1'])('accepts HTTP/%s', (version) => {
    expect(accepted(`GET / HTTP/${version}\r\n${HOST}\r\n`)[0]!.version).toBe(version);
  });

  it.each(['HTTP/1.2', 'HTTP/2.0', 'HTTP/3.0'])('answers 505 to %s', (version) => {
    expect(refused(`GET / ${version}\r\n${HOST}\r\n`)).toBe('unknown-version');
  });

  it.each(['http/1.1', 'HTTP/1', 'HTTP/1.', 'HTTP/11', 'HTTP/1.10', 'HTTP/0.9', 'HTTP /1.1', 'XTTP/1.1', ''])(
    'rejects %j',
    (version) => expect(refused(`GET / ${version}\r\n${HOST}\r\n`)).toContain('request line'),
  );
});

describe('§3 request line', () => {
  it.each([' GET / HTTP/1.1', 'GET\t/ HTTP/1.1', 'GET / HTTP/1.1 ', 'GET  / HTTP/1.1', 'GET /  HTTP/1.1'])(
    'has single spaces between its parts: %j',
    (line) => expect(refused(`${line}\r\n${HOST}\r\n`)).not.toBe('not refused'),
  );

  it('§3.1 accepts the methods that Node.js accepts', async () => {
    const { METHODS: known } = await import('node:http');
    expect([...METHODS].toSorted()).toEqual(known.toSorted());
    expect(refused(`BREW / HTTP/1.1\r\n${HOST}\r\n`)).toBe('unknown-method');
    expect(refused(`get / HTTP/1.1\r\n${HOST}\r\n`)).toBe('unknown-method');
    expect(refused(`${'A'.repeat(33)} / HTTP/1.1\r\n${HOST}\r\n`)).toContain('request line');
    expect(refused(`G(T / HTTP/1.1\r\n${HOST}\r\n`)).toContain('request line');
  });

  it.each(['/a?b=%20&c', '/"<>\\^`{|}', '*x', 'http://b/'])(
    '§3.2 keeps the target %j unchanged',
    (target) => {
      const parser = new HeadParser(WIDE_LIMITS);
      parser.read(Buffer.from(`GET ${target} HTTP/1.1\r\n\r\n`, 'latin1'), 0);
      expect(parser.head?.target).toBe(target);
    },
  );

  it.each(['/a#b', '/\x7f', '/\xe4', '/\0', '/a\tb'])('§3.2 rejects the target %j', (target) => {
    expect(refused(`GET ${target} HTTP/1.1\r\n${HOST}\r\n`)).toContain('request target');
  });

  it('§3 rejects a target that is too long before its end has arrived', () => {
    const limits = { ...WIDE_LIMITS, urlBytes: 20 };
    expect(read(`GET /${'a'.repeat(19)} HTTP/1.1\r\n${HOST}\r\n`, limits).messages.length).toBe(1);
    expect(refused(`GET /${'a'.repeat(20)}`, limits)).toBe('target-too-long');
  });
});

describe('§5 field syntax', () => {
  it('§5.1 removes the white space around a value, and keeps white space within it', () => {
    expect(accepted(head('X: \t a \t b \t', 'Y:', 'Z: \t'))[0]!.fields.slice(2)).toEqual(
      [
        ['X', 'a \t b'],
        ['Y', ''],
        ['Z', ''],
      ].flat(),
    );
  });

  it.each(['X : a', 'X\t: a', 'X Y: a', ': a', 'X', '\xe4: a', 'X(: a', 'X\0: a'])(
    '§5.1 rejects the field line %j',
    (line) => expect(refused(head(line))).toContain('field'),
  );

  it.each(['\0', '\x01', '\x0b', '\x0c', '\x1f', '\x7f'])('§5.5 rejects %j in a value', (character) => {
    expect(refused(head(`X: a${character}b`))).toContain('control character');
  });

  it.each(['X: a\r\n b', 'X: a\r\n\tb', 'X:\r\n b'])('§5.2 rejects obs-fold: %j', (line) => {
    expect(refused(head(line))).toContain('begins with white space');
  });

  it('is limited in bytes and in number, however it is cut', () => {
    const limits = { ...WIDE_LIMITS, headersBytes: HOST.length + 6, headerCount: 2 };
    expect(read(head('X: y'), limits).messages.length).toBe(1);
    expect(refused(head('X: yz'), limits)).toBe('fields-too-large');
    expect(refused(`GET / HTTP/1.1\r\n${HOST}X: ${' '.repeat(100)}`, limits)).toBe('fields-too-large');
    expect(refused(head('X:', 'Y:'), { ...limits, headersBytes: 1_000 })).toBe('too-many-fields');
  });

  it('stores only its own text of a field', () => {
    const parser = new HeadParser(WIDE_LIMITS);
    const chunk = Buffer.from(head('X: a value that is longer than a short one'), 'latin1');
    parser.read(chunk, 0);
    const { fields } = parser.head!;
    chunk.fill(0);
    expect(fields.at(-1)).toBe('a value that is longer than a short one');
  });
});

describe('§6 message body', () => {
  it('§6.2 has the length in Content-Length, and the next request follows', () => {
    const text = `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\n\r\nGET ${GET}`;
    expect(accepted(text).map(({ method, content }) => [method, content])).toEqual([
      ['POST', 'GET '],
      ['GET', ''],
    ]);
  });

  it('§6.3 is empty without Content-Length and Transfer-Encoding', () => {
    expect(accepted(`POST / HTTP/1.1\r\n${HOST}\r\n${GET}`).length).toBe(2);
  });

  it.each([
    ['Content-Length: 1', 'Transfer-Encoding: chunked'],
    ['Content-Length: 1', 'Content-Length: 1'],
    ['Content-Length: 1, 1'],
    ['Content-Length: +1'],
    ['Content-Length: '],
    ['Transfer-Encoding: chunked, chunked'],
    ['Transfer-Encoding: identity'],
    ['Transfer-Encoding: gzip, chunked'],
  ])('§6.1 and §6.3 is not framed by %j, %j', (...fields) => {
    expect(refused(head(...fields))).toContain('"status":');
  });
});

describe('§6.1 Transfer-Encoding', () => {
  it('is surrounded by spaces, or preceded by a tab', () => {
    for (const value of [' chunked', '\tchunked  ', 'chunked']) {
      const text = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding:${value}\r\n\r\n0\r\n\r\n`;
      expect(accepted(text).length).toBe(1);
    }
  });

  it.each(['chunked\t', 'chunked \t', 'chunked\t '])(
    'is not followed by a tab, which hides it from some: %j',
    (value) => {
      expect(refused(`POST / HTTP/1.1\r\n${HOST}tRansfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`)).toContain(
        'tab',
      );
    },
  );
});

describe('§7.1 chunked transfer coding', () => {
  it('joins its chunks, with sizes in upper and lower case and with leading zeros', () => {
    const text = chunked('1\r\na\r\n00A\r\n0123456789\r\na\r\nabcdefghij\r\n000\r\n\r\n');
    expect(accepted(text + GET).map(({ content }) => content)).toEqual(['a0123456789abcdefghij', '']);
  });

  it('moves the content of one segment together', () => {
    const decoder = new ChunkedDecoder(WIDE_LIMITS);
    const chunk = Buffer.from(`1\r\na\r\n2\r\nbc\r\n0\r\n\r\n${GET}`, 'latin1');
    const at = decoder.decode(chunk, 0);
    expect(chunk.toString('latin1', decoder.contentFrom, decoder.contentTo)).toBe('abc');
    expect(chunk.toString('latin1', at)).toBe(GET);
    expect(decoder.done).toBe(true);
  });

  it.each(['g', '', ' 1', '1 ', '0x1', '+1', '-1', '1_0', '1'.repeat(17), '0'.repeat(17)])(
    'rejects the chunk size %j',
    (size) => expect(refused(chunked(`${size}\r\na\r\n0\r\n\r\n`))).toContain('chunk size'),
  );

  it('reports the size of a chunk before its content arrives', () => {
    const decoder = new ChunkedDecoder(WIDE_LIMITS);
    decoder.decode(Buffer.from('ffffffffffff\r\n'), 0);
    expect(decoder.announcedBytes).toBe(0xffffffffffff);
  });

  it.each(['1\r\nab\r\n', '1\r\na0\r\n', '1\r\na\n', '1\r\na\r\r', '2\r\na\r\n0'])(
    'rejects a chunk that is not as long as its size: %j',
    (content) => expect(refused(chunked(`${content}\r\n\r\n`))).toContain('size'),
  );

  it.each([';a', ';a=b', ';a="b"', ';a="b;\\"\t\xe4"', ';a;b=c;d="e"'])(
    '§7.1.1 ignores the extension %j',
    (extension) => {
      const bytes = Buffer.from(chunked(`1${extension}\r\nx\r\n0${extension}\r\n\r\n`), 'latin1');
      expect(readMessages([bytes])).toMatchObject({ refusal: null, messages: [{ content: 'x' }] });
    },
  );

  it.each([
    ';',
    ';;',
    ';=',
    ';a=',
    ';a=;',
    '; a',
    ' ;a',
    ';a =b',
    ';a= b',
    ';a="b',
    ';a="b"c',
    ';\0',
    ';a="\n"',
  ])('§7.1.1 rejects the extension %j', (extension) =>
    expect(refused(chunked(`1${extension}\r\nx\r\n0\r\n\r\n`))).toContain('chunk'),
  );

  it('§7.1.1 limits the extensions of a message', () => {
    const chunk = `1;${'a'.repeat(1_000)}\r\nx\r\n`;
    const bytes = Buffer.from(chunked(chunk.repeat(20)), 'latin1');
    expect(readMessages([bytes]).refusal).toBe('chunk-extensions-too-large');
  });

  it('§7.1.2 reads trailers as fields', () => {
    const text = chunked('0\r\nT: \tx \r\nHost: b\r\n\r\n');
    expect(accepted(text + GET)[0]!.trailers).toEqual(['T', 'x', 'Host', 'b']);
  });

  it.each([
    'Content-Length: 1',
    'transfer-encoding: chunked',
    'Connection: close',
    'Proxy-Connection: close',
  ])('RFC 9110 §6.5.1 rejects the trailer %j', (trailer) =>
    expect(refused(chunked(`0\r\n${trailer}\r\n\r\n`))).toContain('trailer'),
  );

  it('limits trailers like fields', () => {
    const limits = { ...WIDE_LIMITS, headersBytes: 100, headerCount: 3 };
    expect(refused(chunked(`0\r\nT: ${'x'.repeat(100)}`), limits)).toBe('fields-too-large');
    expect(refused(chunked('0\r\nA:\r\nB:\r\nC:\r\nD:\r\n'), limits)).toBe('too-many-fields');
  });
});

describe('§9.3 persistence', () => {
  const after = (version: string, ...fields: string[]) =>
    read(`GET / HTTP/${version}\r\n${[HOST.trim(), ...fields, '', ''].join('\r\n')}${GET}`);

  it.each(['close', 'Close', 'keep-alive, close', 'x ,\tclose '])('ends with Connection: %s', (value) => {
    const { messages, refusal } = after('1.1', `Connection: ${value}`);
    expect([messages.length, refusal]).toEqual([1, AFTER_THE_LAST]);
  });

  it('continues with HTTP/1.1 unless the message says otherwise, and with HTTP/1.0 only if it says so', () => {
    expect(after('1.1', 'Connection: closed').messages.length).toBe(2);
    expect(after('1.0').messages.length).toBe(1);
    expect(after('1.0', 'Connection: Keep-Alive').messages.length).toBe(2);
    expect(after('1.0', 'Connection: keep-alive, close').messages.length).toBe(1);
  });
});

describe('§4 responses', () => {
  const render = (status: number, fields: string[], framing: Parameters<typeof renderHead>[2]) =>
    renderHead(status, ['Date', 'd', ...fields], framing, 'Connection: close\r\n').text;

  it('§4 have the phrases of Node.js, except where RFC 9110 has newer ones', () => {
    const NEWER: Readonly<Record<string, string>> = {
      413: 'Content Too Large',
      422: 'Unprocessable Content',
    };
    for (const [status, phrase] of Object.entries(REASON_PHRASES)) {
      expect([status, NEWER[status] === phrase || STATUS_CODES[status] === phrase]).toEqual([status, true]);
    }
    expect(render(299, [], 'none')).toMatch(/^HTTP\/1\.1 299 \r\n/);
  });

  it('§6 have one framing, whatever the fields say', () => {
    const fields = ['Content-Length', '7', 'transfer-encoding', 'x', 'Trailer', 'T'];
    expect(render(200, fields, 3)).toBe(
      'HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 3\r\nConnection: close\r\n\r\n',
    );
    expect(render(200, fields, 'chunked')).toContain('Trailer: T\r\nTransfer-Encoding: chunked\r\n');
    expect(render(200, fields, 'none')).toBe('HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\n\r\n');
    expect(render(200, fields, 'as-given')).toContain('Content-Length: 7\r\n');
    expect(render(200, ['Content-Length', '7', 'Content-Length', '8'], 'as-given')).not.toContain('Length');
  });

  it('§5 do not contain fields that can’t be written, which Node.js also rejects', () => {
    const characters = Array.from({ length: 0x180 }, (_, code) => String.fromCodePoint(code));
    const throws = (check: () => void): boolean => {
      try {
        check();
        return false;
      } catch {
        return true;
      }
    };
    for (const character of ['', ...characters]) {
      expect(isWritable(character, 'a')).toBe(!throws(() => validateHeaderName(character)));
      expect(isWritable('X', character)).toBe(!throws(() => validateHeaderValue('X', character)));
    }
    const { text, dropped } = renderHead(200, ['X', 'a\r\nY: b', 'Z', 'z'], 0, '');
    expect(text).not.toContain('Y: b');
    expect(dropped).toEqual(['X']);
    expect(renderInterim(103, ['X', '\n', 'Y', 'y', 'Connection', 'z'], '')).toBe(
      'HTTP/1.1 103 Early Hints\r\nY: y\r\n\r\n',
    );
    expect(renderTrailers(['X', '\n', 'Y', 'y'])).toBe('Y: y\r\n');
  });
});

/**
 * A differential fuzzer: our codec and llhttp read the same bytes. What ours accepts, llhttp must accept and
 * read alike. What llhttp rejects, ours must reject. Where ours is stricter, a row of `STRICTER` gives the
 * reason.
 */
import { AFTER_THE_LAST, readMessages, type ReadMessage, type Reading } from './codec.ts';
import { mutated, pick, randomOf, type Random } from './fuzzing.ts';
import { LlhttpOracle, type OracleReading } from './llhttp.ts';

export interface Difference {
  /** The sentence or code of our rejection. */
  readonly refusal: string;
  /** The bytes up to the rejected one, as latin1. */
  readonly form: RegExp;
  readonly reason: string;
  /** Accepted by llhttp, rejected by ours. */
  readonly example: string;
}

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const REQUEST_LINE = 'The request line is malformed.';

/** The cases in which our codec rejects what llhttp accepts. */
export const STRICTER: readonly Difference[] = [
  {
    refusal: REQUEST_LINE,
    form: /\r\n\r$/,
    reason:
      'RFC 9112 §2.2 asks to ignore one empty line before a request; any number of them would cost work.',
    example: `\r\n\r\n${HEAD}\r\n`,
  },
  {
    refusal: REQUEST_LINE,
    form: /\n$/,
    reason: 'RFC 9112 §2.2: a line may end with LF alone, or must not. Recipients differ, so it is rejected.',
    example: `\n${HEAD}\r\n`,
  },
  {
    refusal: REQUEST_LINE,
    form: /\r[^\n]$/,
    reason: 'RFC 9112 §2.2: a bare CR is no line end.',
    example: `\r${HEAD}\r\n`,
  },
  {
    refusal: 'The request target has a character that is not allowed.',
    form: / {2}$/,
    reason: 'RFC 9112 §3 puts a single space between the parts of the request line.',
    example: `GET  / HTTP/1.1\r\nHost: a\r\n\r\n`,
  },
  {
    refusal: REQUEST_LINE,
    form: / {2}$/,
    reason: 'RFC 9112 §3 puts a single space between the parts of the request line, also before the version.',
    example: `GET /  HTTP/1.1\r\nHost: a\r\n\r\n`,
  },
  {
    refusal: 'The request target has a character that is not allowed.',
    form: /#$/,
    reason: 'RFC 9112 §3.2: a target has no fragment.',
    example: `GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n`,
  },
  {
    refusal: REQUEST_LINE,
    form: / [IR]$/,
    reason: 'The protocol is not HTTP.',
    example: `SOURCE / ICE/1.0\r\nHost: a\r\n\r\n`,
  },
  {
    refusal: 'The request line names an HTTP version that is not supported.',
    form: / HTTP\/0\.9\r\n.?$/,
    reason: 'HTTP/0.9 has no fields.',
    example: 'GET / HTTP/0.9\r\nHost: a\r\n\r\n',
  },
  {
    refusal: 'The request target has a character that is not allowed.',
    form: / [^ \r\n]*[\r\n]$/,
    reason: 'A request line without a version is HTTP/0.9.',
    example: 'GET /\r\nHost: a\r\n\r\n',
  },
  {
    refusal: AFTER_THE_LAST,
    form: / HTTP\/1\.0\r\n[^]*connection:[^]*\bclose/i,
    reason: 'RFC 9112 §9.3: HTTP/1.0 with both close and keep-alive closes.',
    example: `GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n${HEAD}\r\n`,
  },
  {
    refusal: 'unknown-version',
    form: / HTTP\/2\.0\r\n.?$/,
    reason: 'HTTP/2 has another wire format.',
    example: 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
  },
  {
    refusal: 'A chunk extension is malformed.',
    form: /=[;\r]$/,
    reason: 'RFC 9112 §7.1.1: the value of an extension is not empty.',
    example: `${CHUNKED}1;a=\r\nx\r\n0\r\n\r\n`,
  },
  {
    refusal: 'A chunk extension is malformed.',
    form: /;[;=]$/,
    reason: 'RFC 9112 §7.1.1: the name of an extension is not empty.',
    example: `${CHUNKED}1;;a=b\r\nx\r\n0\r\n\r\n`,
  },
  {
    refusal: 'A chunk extension is malformed.',
    form: /=[^;"\r]+"$/,
    reason:
      'RFC 9112 §7.1.1: the value of an extension is a token or a quoted string, not one and then the other.',
    example: `${CHUNKED}1;a=b"c"\r\nx\r\n0\r\n\r\n`,
  },
  {
    refusal: 'A tab follows the value of Transfer-Encoding.',
    form: /\t *\r$/,
    reason:
      'llhttp takes it for another coding, refuses that, but with Upgrade takes the request for one without content.',
    example: `${HEAD}Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\t\r\n\r\n`,
  },
  {
    refusal: 'A trailer would change how the message is framed.',
    form: /\r\n(?:proxy-)?connection:/i,
    reason: 'RFC 9110 §6.5.1: a trailer does not decide whether the connection continues.',
    example: `${CHUNKED}0\r\nConnection: close\r\n\r\n`,
  },
];

export interface DifferentialReport {
  readonly messages: number;
  readonly accepted: number;
  readonly stricter: number;
  /** Each with the bytes that show it; empty if there are none. */
  readonly faults: readonly string[];
}

/** The number of connections that are compared before the event loop continues. */
const BATCH = 250;

/** The same `seed` makes the same messages. */
export async function compareCodecs(seed: number, messages: number): Promise<DifferentialReport> {
  const oracle = new LlhttpOracle();
  const report = { messages: 0, accepted: 0, stricter: 0 };
  const faults: string[] = [];
  for (let batch = 0; report.messages < messages && faults.length < 10; batch += 1) {
    const random = randomOf(seed * 1_000_003 + batch);
    const connections = Array.from({ length: BATCH }, () => {
      const made = makeMessages(random);
      report.messages += made.length;
      return Buffer.concat(made);
    });
    const pieces = connections.map((bytes) => cut(random, bytes));
    // llhttp gets the pieces only in one batch of ten, because they take it much time.
    const readings = await oracle.read(batch % 10 === 0 ? pieces : connections.map((bytes) => [bytes]));
    for (const [n, bytes] of connections.entries()) {
      const whole = readMessages([bytes]);
      const inPieces = readMessages(pieces[n]!);
      const fault = faultOf(bytes, whole, readings[n]!) ?? faultOfCutting(whole, inPieces);
      if (fault !== null) faults.push(`${fault}: ${JSON.stringify(bytes.toString('latin1'))}`);
      report.accepted += whole.messages.length;
      if (whole.refusal !== null && readings[n]!.messages.length > whole.messages.length)
        report.stricter += 1;
    }
  }
  return { ...report, faults };
}

/** The fault of one reading; null if there is none. */
export function faultOf(bytes: Buffer, ours: Reading, oracle: OracleReading): string | null {
  for (const [n, message] of ours.messages.entries()) {
    const other = oracle.messages[n];
    if (other === undefined && oracle.endsWithUpgrade) return null;
    if (other === undefined) return `ours accepts message ${n}, llhttp does not (${oracle.refusal})`;
    const part = differingPart(message, other);
    if (part !== null) return `message ${n} differs in ${part}`;
  }
  if (oracle.messages.length === ours.messages.length) return null;
  if (ours.refusal === null) return `llhttp reads message ${ours.messages.length}, ours waits for more`;
  const text = bytes.toString('latin1', 0, ours.refusedAt + 1);
  const row = STRICTER.find(({ refusal, form }) => refusal === ours.refusal && form.test(text));
  return row === undefined ? `ours rejects what llhttp accepts (${ours.refusal})` : null;
}

function faultOfCutting(whole: Reading, inPieces: Reading): string | null {
  const same = JSON.stringify(whole) === JSON.stringify(inPieces);
  return same ? null : `in pieces it reads ${JSON.stringify(inPieces)}, whole ${JSON.stringify(whole)}`;
}

function differingPart(ours: ReadMessage, other: ReadMessage): string | null {
  if (ours.method !== other.method) return 'method';
  if (ours.target !== other.target) return 'target';
  if (ours.version !== other.version) return 'version';
  if (ours.content !== other.content) return 'content';
  if (ours.fields.join('\n') !== other.fields.join('\n')) return 'fields';
  return ours.trailers.join('\n') === other.trailers.join('\n') ? null : 'trailers';
}

/** The messages of one connection, some of them mutated. */
export function makeMessages(random: Random): Buffer[] {
  return Array.from({ length: 1 + random(3) }, () => {
    const whole = Buffer.from(makeMessage(random), 'latin1');
    return random(2) === 0 ? whole : mutated(random, whole);
  });
}

const FIELDS = [
  'Accept: */*',
  'X-Obs: \xe4\xff',
  'Cookie: a=b; c=d',
  'X-Empty:',
  'X-Space: \t a \t b\t ',
  'Expect: 100-continue',
  'Connection: keep-alive',
  'connection: Keep-Alive, X-A',
  'Proxy-Connection: keep-alive',
  "!#$%&'*+-.^_`|~0A: token",
  'Upgrade: websocket\r\nConnection: Upgrade',
  'Trailer: T',
  'TE: trailers',
];

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PURGE', 'M-SEARCH', 'QUERY'];

function makeMessage(random: Random): string {
  const lines = [
    `${pick(random, METHODS)} ${makeTarget(random)} HTTP/1.${random(12) === 0 ? 0 : 1}`,
    `Host: ${pick(random, ['a', 'shop.example:8080', '[::1]:80', '127.0.0.1'])}`,
  ];
  for (const field of FIELDS) if (random(5) === 0) lines.push(field);
  if (random(4) === 0) lines.push(`X-${random(100)}:${pick(random, ['', ' ', '\t'])}${text(random, 40)}`);
  if (random(10) === 0) lines.push('Connection: close');
  const empty = random(20) === 0 ? '\r\n' : '';
  const content = 'c'.repeat(random(60));
  switch (random(4)) {
    case 0:
      lines.push(
        `Content-Length:${pick(random, ['', ' ', '\t'])}${random(10) === 0 ? '000' : ''}${content.length}${pick(random, ['', '', ' \t'])}`,
        '',
        content,
      );
      return empty + lines.join('\r\n');
    case 1:
      lines.push(
        `Transfer-Encoding: ${pick(random, ['chunked', 'Chunked', 'chunked ', 'chunked  ', '\tchunked', 'chunked\t', 'chunked \t '])}`,
        '',
      );
      return `${empty}${lines.join('\r\n')}\r\n${makeChunks(random, content)}`;
    default:
      return `${empty}${[...lines, '', ''].join('\r\n')}`;
  }
}

function makeTarget(random: Random): string {
  const path = `/${text(random, 20).replaceAll(/[ #\t\x80-\xff]/g, '')}`;
  return pick(random, [
    '/',
    path,
    `${path}?${path}`,
    '*',
    'http://b',
    `http://b:80${path}`,
    '//c/d',
    '/%2e%2e/',
  ]);
}

function makeChunks(random: Random, content: string): string {
  let rest = content;
  let framed = '';
  while (rest !== '') {
    const size = 1 + random(rest.length);
    const digits = random(2) === 0 ? size.toString(16) : size.toString(16).toUpperCase();
    framed += `${random(8) === 0 ? '00' : ''}${digits}${makeExtension(random)}\r\n${rest.slice(0, size)}\r\n`;
    rest = rest.slice(size);
  }
  const trailers = pick(random, ['', '', 'T: x\r\n', 'T:\ty \r\nU:\r\n', 'Host: b\r\n']);
  return `${framed}${pick(random, ['0', '0', '000'])}${makeExtension(random)}\r\n${trailers}\r\n`;
}

function makeExtension(random: Random): string {
  return pick(random, ['', '', '', ';a', ';a=b', ';a="b;\\"c\t\xe4"', ';a;b=c;d="e"']);
}

/** Characters that field values may contain, without white space at the ends. */
function text(random: Random, most: number): string {
  let made = '';
  for (let n = random(most); n > 0; n -= 1) {
    made += random(3) === 0 ? pick(random, [' ', '\t', '"', ',', ';', ':', '\xe4']) : letter(random);
  }
  return made;
}

function letter(random: Random): string {
  return String.fromCodePoint(0x21 + random(94));
}

/** The bytes as a whole, one by one, or in pieces of random sizes. */
export function cut(random: Random, bytes: Buffer): Buffer[] {
  const choice = random(4);
  if (choice === 0) return [bytes];
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = choice === 1 ? 1 : 1 + random(40);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

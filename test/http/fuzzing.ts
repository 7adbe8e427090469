/**
 * A fuzzer of the listener. It sends seeded messages, some whole and some mutated, several on one connection,
 * in pieces. Each whole request has a nonce that its answer must contain; the others may get any answer
 * except a wrong one.
 */
import { crc32 } from 'node:zlib';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { listen, RawClient } from './harness.ts';

export interface FuzzReport {
  readonly messages: number;
  readonly connections: number;
  readonly answers: number;
  readonly refusals: number;
  /** Each with the connection that shows it; empty if there are none. */
  readonly faults: readonly string[];
}

/** A connection that is still open then hangs: all limits are far shorter. */
const HANG_MS = 30_000;
/** Fewer than a listener lets wait for acceptance. */
const AT_ONCE = 500;

/** The same `seed` sends the same messages. */
export async function fuzzListener(seed: number, messages: number): Promise<FuzzReport> {
  let begun = 0;
  let ended = 0;
  const listener = await listen({
    limits: { requestMs: 4_000, idleMs: 4_000, bodyBytes: 4_096, connections: 10_000 },
    onExchange: (exchange) => {
      begun += 1;
      exchange.onEnd(() => (ended += 1));
      echo(exchange);
    },
  });
  const faults: string[] = [];
  const report = { messages: 0, connections: 0, answers: 0, refusals: 0 };
  const lane = async () => {
    while (report.messages < messages && faults.length < 10) {
      report.connections += 1;
      const plan = planConnection(seed, report.connections);
      report.messages += plan.messages.length;
      const received = await converse(listener.port, plan);
      if (received === null) {
        faults.push(describeFault('hangs', plan, ''));
        continue;
      }
      if (plan.leaves) continue;
      const answers = readAnswers(received);
      const fault = faultOf(plan, answers);
      if (fault !== null) faults.push(describeFault(fault, plan, received));
      report.answers += answers.filter(({ status }) => status === 200).length;
      report.refusals += answers.filter(({ status }) => status >= 400).length;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  await listener.end();
  while (listener.connections() > 0) await new Promise(setImmediate);
  if (begun !== ended) faults.push(`${begun} exchanges began and ${ended} ended`);
  faults.push(...listener.logged);
  return { ...report, faults };
}

interface Message {
  readonly bytes: Buffer;
  /** The nonce of a whole request; null if the request is mutated. */
  readonly nonce: string | null;
}

interface Plan {
  readonly connection: number;
  readonly messages: readonly Message[];
  /** The pieces in which the bytes are sent, one by one. */
  readonly pieces: readonly Buffer[];
  /** The client leaves as soon as it has sent everything. */
  readonly leaves: boolean;
}

function planConnection(seed: number, connection: number): Plan {
  const random = randomOf(seed * 1_000_003 + connection);
  const messages: Message[] = [];
  const count = 1 + random(4);
  for (let n = 0; n < count; n++) {
    const nonce = signed(`${seed}.${connection}.${n}`);
    const whole = Buffer.from(wholeRequest(random, nonce, n === count - 1), 'latin1');
    if (random(2) === 0) messages.push({ bytes: whole, nonce });
    else messages.push({ bytes: mutated(random, whole), nonce: null });
  }
  const bytes = Buffer.concat(messages.map((message) => message.bytes));
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = random(3) === 0 ? 1 + random(40) : bytes.length - at;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return { connection, messages, pieces, leaves: random(12) === 0 };
}

function wholeRequest(random: Random, nonce: string, last: boolean): string {
  const fields = [`Host: ${pick(random, ['a', 'shop.example', '[::1]:80'])}`, `X-Nonce: ${nonce}`];
  for (const field of HARMLESS) if (random(3) === 0) fields.push(field);
  if (last) fields.push('Connection: close');
  const target = pick(random, ['/', '/a?b=c', '/%2e%2e/x', 'http://b/x', `/${'p'.repeat(random(200))}`]);
  const content = 'c'.repeat(random(300));
  switch (random(4)) {
    case 0:
      return head('POST', target, [...fields, `Content-Length: ${content.length}`]) + content;
    case 1:
      return head('PUT', target, [...fields, 'Transfer-Encoding: chunked']) + chunked(random, content);
    case 2:
      return head('HEAD', target, fields);
    default:
      return head('GET', target, fields);
  }
}

function head(method: string, target: string, fields: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, ...fields, '', ''].join('\r\n');
}

function chunked(random: Random, content: string): string {
  let rest = content;
  let framed = '';
  while (rest !== '') {
    const size = 1 + random(rest.length);
    framed += `${size.toString(16)}${pick(random, ['', ';a=b', ';c'])}\r\n${rest.slice(0, size)}\r\n`;
    rest = rest.slice(size);
  }
  return `${framed}0\r\n${pick(random, ['', 'T: x\r\n'])}\r\n`;
}

const HARMLESS = ['Accept: */*', 'X-Obs: \xe4\xff', 'Cookie: a=b; c=d', 'X-Empty:', 'Expect: 100-continue'];

const NASTY = [
  'Content-Length: 5',
  'Content-Length: +5',
  'Content-Length: 0',
  'Content-Length: 99999999999999999999',
  'Content-Length : 3',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: x, chunked',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding\t: chunked',
  'Host: b',
  'Host:',
  'Expect: x',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'Connection: close',
  'Connection: X-Nonce',
  ' folded',
  'no colon',
  ': no name',
  'X: a\rb',
  'X: a\nY: b',
  'X: a\0b',
  `X: ${'a'.repeat(5_000)}`,
  Array.from({ length: 25 }, (_, n) => `X${n}: y`).join('\r\n'),
];

const NASTY_BYTES = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '0',
  'f',
  '\x7f',
  '\x80',
  '\xff',
  '\r\n\r\n',
];

export function mutated(random: Random, whole: Buffer): Buffer {
  let text = whole.toString('latin1');
  for (let n = 1 + random(3); n > 0; n--) text = mutate(random, text);
  return Buffer.from(text, 'latin1');
}

function mutate(random: Random, text: string): string {
  const at = random(text.length + 1);
  const to = Math.min(text.length, at + random(30));
  switch (random(9)) {
    case 0:
      return text.slice(0, at) + String.fromCodePoint(random(256)) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + pick(random, NASTY_BYTES) + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(to);
    case 3:
      return text.slice(0, to) + text.slice(at);
    case 4:
      return text.slice(0, at);
    case 5:
      return text.replace(/\r\n/, pick(random, ['\n', '\r', '\r\r\n', ' \r\n', '\r\n ', '']));
    case 6:
      return text.replace('\r\n', `\r\n${pick(random, NASTY)}\r\n`);
    case 7:
      return text.replace(
        /HTTP\/1\.1/,
        pick(random, ['HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.', 'http/1.1', '']),
      );
    default:
      return text.replace(
        /^\S+/,
        pick(random, ['CONNECT', 'OPTIONS', 'get', 'HEAD', 'M-SEARCH', 'PRI', 'DELETE', '\x16\x03\x01']),
      );
  }
}

/** Answers with the request's nonce in one of the possible ways, which the nonce selects. */
function echo(exchange: Exchange): void {
  const at = exchange.fields.findIndex((name, n) => n % 2 === 0 && name.toLowerCase() === 'x-nonce');
  const claimed = at === -1 ? '' : exchange.fields[at + 1]!;
  const nonce = isSigned(claimed) ? claimed : 'none';
  const fields = ['X-Nonce', nonce, 'X-Method', exchange.method];
  const content = Buffer.from(`content of ${nonce}`);
  const answer = () => {
    if (content.length % 2 === 0) {
      exchange.respond(200, fields, content);
      return;
    }
    const sink = exchange.stream(200, fields);
    sink.write(content.subarray(0, 5));
    setImmediate(() => {
      sink.write(content.subarray(5));
      sink.end();
    });
  };
  if (exchange.body === null) answer();
  else if (crc32(nonce) % 8 === 0) setImmediate(answer);
  else exchange.body.on('end', answer).resume();
}

/** Everything received until the server closed; null if it did not. */
async function converse(port: number, plan: Plan): Promise<string | null> {
  const client = new RawClient(port);
  for (const piece of plan.pieces) {
    client.send(piece);
    if (plan.pieces.length > 1) await new Promise(setImmediate);
  }
  if (plan.leaves) client.leave();
  const hung = Promise.withResolvers<null>();
  const timer = setTimeout(hung.resolve, HANG_MS, null);
  const received = await Promise.race([client.untilClosed(), hung.promise]);
  clearTimeout(timer);
  client.leave();
  return received;
}

interface Answer {
  readonly status: number;
  readonly nonce: string | null;
  /** False where the connection was closed within the answer. */
  readonly whole: boolean;
  readonly content: string;
}

/** The answers in the received text; malformed text ends the list with status 0. */
function readAnswers(received: string): Answer[] {
  const answers: Answer[] = [];
  let rest = received;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const start = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n/.exec(rest);
    if (start === null || end === -1)
      return [...answers, { status: 0, nonce: null, whole: false, content: rest }];
    const fields = rest.slice(0, end + 2);
    rest = rest.slice(end + 4);
    const status = Number(start[1]);
    if (status < 200) continue;
    const nonce = /\r\nX-Nonce: (.*)\r\n/.exec(fields)?.[1] ?? null;
    const length = /\r\nContent-Length: (\d+)\r\n/.exec(fields)?.[1];
    if (/\r\nX-Method: HEAD\r\n/.test(fields)) {
      answers.push({ status, nonce, whole: true, content: '' });
    } else if (length !== undefined) {
      const content = rest.slice(0, Number(length));
      rest = rest.slice(content.length);
      answers.push({ status, nonce, whole: content.length === Number(length), content });
    } else if (/\r\nTransfer-Encoding: chunked\r\n/.test(fields)) {
      const { content, whole, length: taken } = readChunks(rest);
      rest = rest.slice(taken);
      answers.push({ status, nonce, whole, content });
    } else {
      answers.push({ status, nonce, whole: true, content: rest });
      rest = '';
    }
  }
  return answers;
}

function readChunks(text: string): { content: string; whole: boolean; length: number } {
  let at = 0;
  let content = '';
  for (;;) {
    const line = /^([0-9a-f]+)\r\n/.exec(text.slice(at));
    if (line === null) return { content, whole: false, length: text.length };
    const size = Number.parseInt(line[1]!, 16);
    at += line[0].length;
    content += text.slice(at, at + size);
    at += size + 2;
    if (size === 0) return { content, whole: at <= text.length, length: at };
  }
}

function faultOf({ messages }: Plan, answers: readonly Answer[]): string | null {
  const own = new Set(messages.flatMap(({ bytes }) => noncesIn(bytes)));
  for (const { status, nonce, whole, content } of answers) {
    if (status === 0) return 'brings bytes that are no answer';
    if (nonce === null || nonce === 'none') continue;
    if (!own.has(nonce)) return `brings the answer to ${nonce}, which was asked elsewhere`;
    if (whole && content !== '' && content !== `content of ${nonce}`)
      return `mixes up the content of ${nonce}`;
  }
  // Node drops a connection on which HTTP/2 is tried, with all pending answers.
  if (messages.some(({ bytes }) => bytes.includes('PRI '))) return null;
  for (const [n, { nonce }] of messages.entries()) {
    // The bytes after a mutated message may have been read as a part of it.
    if (nonce === null) return null;
    if (answers[n]?.nonce !== nonce || !answers[n].whole) {
      // An answer that was given before the content was read may have closed the connection.
      const before =
        answers.length === n && answers.at(-1)?.whole === true && closesEarly(messages.slice(0, n));
      return before ? null : `does not answer ${nonce} in its place`;
    }
  }
  return null;
}

/** Whether one of these is answered before its content is read, which may close the connection. */
function closesEarly(messages: readonly Message[]): boolean {
  return messages.some(({ nonce }) => nonce !== null && crc32(nonce) % 8 === 0);
}

function noncesIn(bytes: Buffer): string[] {
  return (bytes.toString('latin1').match(/\d+\.\d+\.\d+-\d+/g) ?? []).filter(isSigned);
}

function describeFault(what: string, plan: Plan, received: string): string {
  const sent = Buffer.concat(plan.messages.map(({ bytes }) => bytes)).toString('latin1');
  return `connection ${plan.connection} ${what}: ${JSON.stringify(sent)} → ${JSON.stringify(received)}`;
}

function signed(id: string): string {
  return `${id}-${crc32(`weir ${id}`)}`;
}

function isSigned(nonce: string): boolean {
  return /^\d+\.\d+\.\d+-\d+$/.test(nonce) && signed(nonce.slice(0, nonce.indexOf('-'))) === nonce;
}

/** A whole number below `bound`. */
export type Random = (bound: number) => number;

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)]!;
}

/** Mulberry32: small and seeded. */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

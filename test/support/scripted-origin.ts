/**
 * A real HTTP/1.1 server on a free loopback port whose every answer the test writes, and which keeps what it was asked.
 *
 *     const origin = await startScriptedOrigin({ '/a': { fields: ['Cache-Control', 'max-age=60'], body: 'a' } });
 *     origin.on('/slow', async (request, answer) => {        // a later `on` for a path replaces the earlier one
 *       await held.promise;                                  // a barrier: `const held = gate()`
 *       answer.send(200, ['ETag', '"1"'], 'body');
 *     });
 *     origin.on('PUT /a', async (request) => ({ status: 200, body: await request.received }));  // what is returned is sent
 *     origin.url                  'http://127.0.0.1:43121'
 *     origin.requests             everything asked so far: method, url, fields (raw pairs), body, at, connection
 *     origin.count('/a')          how often it was asked; also count('PUT /a'), count()
 *     await origin.seen('/a', 2)  until it was asked twice
 *     origin.maxRunning           the most requests that were unanswered at one time
 *     await origin.close()        cuts what is open
 *
 * Patterns: `/path` (any query), `/path?q=1` (this query alone), `/folder/*`, `*`, each with or without `METHOD `
 * before it; the most specific first, as they stand in that list. What no pattern takes is a 404 with no-store.
 *
 * In a script: `answer.send` whole; `answer.head` + `write` + `end` in pieces (`await answer.write()` waits for room);
 * `answer.inform(103, fields)`; `answer.raw(bytes)` for bytes of one's own, after which only `raw` and `cut` make sense;
 * `answer.cut()` closes the connection in the middle, `answer.reset()` does it by RST. A wrong length is
 * `answer.head(200, ['Content-Length', '10'])`, `answer.write('five.')`, `answer.cut()`. `answer.gone` resolves when the
 * connection is closed before the answer was complete. A script that throws cuts the connection and the error comes out of `close()`.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { hasField } from '../../policies/http/fields.ts';
import type { Fields } from '../../policies/http/fields.ts';

export interface ScriptedOrigin {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly ScriptedRequest[];
  /** Connections accepted so far. */
  readonly connections: number;
  readonly openConnections: number;
  readonly running: number;
  readonly maxRunning: number;
  on(pattern: string, script: Script): void;
  /** Takes requests to switch protocols; without it such requests are answered like others. */
  onUpgrade(script: (request: ScriptedRequest, socket: Duplex, head: Buffer) => void): void;
  count(pattern?: string): number;
  /** Resolves once `count(pattern)` has reached `times`. */
  seen(pattern: string, times?: number): Promise<void>;
  /** Forgets the requests recorded, not the scripts. */
  forget(): void;
  /** Cuts every open connection and goes on listening. */
  cutAll(): void;
  /** Stops listening and cuts every connection; throws what a script threw. */
  close(): Promise<void>;
}

export interface ScriptedRequest {
  readonly method: string;
  /** As on the request line. */
  readonly url: string;
  /** Name and value in turn, as they came. */
  readonly fields: Fields;
  /** Lower-case names, repeated ones joined by Node. */
  readonly headers: IncomingMessage['headers'];
  /** Monotonic milliseconds when the head was complete. */
  readonly at: number;
  /** Which connection it came on: 1, 2, … */
  readonly connection: number;
  /** What has come of the body so far. */
  readonly body: Buffer;
  /** The whole body; rejects where the client left before it was sent. */
  readonly received: Promise<Buffer>;
  /** Node's own message, to pause or to read raw. */
  readonly node: IncomingMessage;
}

export interface ScriptedAnswer {
  send(status: number, fields?: Fields, body?: string | Uint8Array): void;
  head(status: number, fields?: Fields): void;
  /** Resolves when there is room for more, or the connection is closed. */
  write(chunk: string | Uint8Array): Promise<void>;
  end(trailers?: Fields): void;
  inform(status: number, fields?: Fields): void;
  raw(bytes: string | Uint8Array): void;
  cut(): void;
  reset(): void;
  /** The connection was closed before the answer was complete. */
  readonly gone: Promise<void>;
  readonly node: ServerResponse;
}

/** An answer that needs no script. Content-Length is added unless the fields frame the body themselves. */
export interface PlainAnswer {
  readonly status?: number;
  readonly fields?: Fields;
  readonly body?: string | Uint8Array;
}

export type ScriptFunction = (
  request: ScriptedRequest,
  answer: ScriptedAnswer,
) => PlainAnswer | void | Promise<PlainAnswer | void>;
export type Script = PlainAnswer | ScriptFunction;

/** `scripts`: one for all requests, or one for each pattern. `port`: 0 for any free one. */
export async function startScriptedOrigin(
  scripts: Script | Readonly<Record<string, Script>> = {},
  { port = 0 }: { readonly port?: number } = {},
): Promise<ScriptedOrigin> {
  const table = new Map<string, Script>();
  const requests: RecordedRequest[] = [];
  const errors: unknown[] = [];
  const sockets = new Map<Socket, number>();
  const waiters = new Set<() => void>();
  let upgradeScript: ((request: ScriptedRequest, socket: Duplex, head: Buffer) => void) | null = null;
  let connections = 0;
  let running = 0;
  let maxRunning = 0;

  for (const [pattern, script] of scriptEntries(scripts)) table.set(pattern, script);

  const record = (message: IncomingMessage): RecordedRequest => {
    const request = recordRequest(message, sockets.get(message.socket) ?? 0);
    requests.push(request);
    for (const look of waiters) look();
    return request;
  };

  const take = (message: IncomingMessage, response: ServerResponse): void => {
    maxRunning = Math.max(maxRunning, ++running);
    response.once('close', () => running--);
    const request = record(message);
    const answer = scriptedAnswer(message, response);
    runScript(scriptFor(table, request), request, answer).catch((error: unknown) => {
      errors.push(error);
      answer.cut();
    });
  };

  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, maxHeaderSize: 1024 * 1024 }, take);
  server.on('checkContinue', (message: IncomingMessage, response: ServerResponse) => {
    response.writeContinue();
    take(message, response);
  });
  server.on('connection', (socket: Socket) => {
    sockets.set(socket, ++connections);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
  });
  await listen(server, port);
  const address = server.address() as AddressInfo;

  const count = (pattern = '*'): number => requests.filter((request) => matches(pattern, request)).length;
  const cutAll = (): void => {
    for (const socket of sockets.keys()) socket.destroy();
  };

  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    requests,
    get connections() {
      return connections;
    },
    get openConnections() {
      return sockets.size;
    },
    get running() {
      return running;
    },
    get maxRunning() {
      return maxRunning;
    },
    on: (pattern, script) => void table.set(pattern, script),
    onUpgrade(script) {
      if (upgradeScript === null) {
        server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) =>
          upgradeScript?.(record(message), socket, head),
        );
      }
      upgradeScript = script;
    },
    count,
    seen: (pattern, times = 1) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (count(pattern) < times) return;
          waiters.delete(look);
          resolve();
        };
        waiters.add(look);
        look();
      }),
    forget: () => void requests.splice(0),
    cutAll,
    async close() {
      const closed = once(server, 'close');
      server.close();
      cutAll();
      await closed;
      if (errors.length > 0) throw errors[0];
    },
  };
}

interface RecordedRequest extends ScriptedRequest {
  readonly path: string;
}

function scriptEntries(scripts: Script | Readonly<Record<string, Script>>): [string, Script][] {
  if (typeof scripts === 'function' || isPlainAnswer(scripts)) return [['*', scripts]];
  return Object.entries(scripts);
}

function isPlainAnswer(scripts: PlainAnswer | Readonly<Record<string, Script>>): scripts is PlainAnswer {
  return 'status' in scripts || 'fields' in scripts || 'body' in scripts;
}

function recordRequest(message: IncomingMessage, connection: number): RecordedRequest {
  const chunks: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  promise.catch(() => undefined);
  message.on('data', (chunk: Buffer) => chunks.push(chunk));
  message.once('end', () => resolve(Buffer.concat(chunks)));
  message.once('close', () => reject(new Error('the client left before it had sent its body')));
  const url = message.url ?? '';
  return {
    method: message.method ?? '',
    url,
    path: url.split('?', 1)[0]!,
    fields: message.rawHeaders,
    headers: message.headers,
    at: performance.now(),
    connection,
    get body() {
      return Buffer.concat(chunks);
    },
    received: promise,
    node: message,
  };
}

function scriptedAnswer(message: IncomingMessage, response: ServerResponse): ScriptedAnswer {
  const gone = new Promise<void>((resolve) => {
    response.once('close', () => {
      if (!response.writableFinished) resolve();
    });
  });
  response.on('error', () => response.destroy());
  return {
    send(status, fields = [], body = '') {
      response.writeHead(status, framed(message, status, fields, body));
      // Node would write the head with a string's own encoding; in bytes it stays latin1.
      response.end(Buffer.from(body));
    },
    head(status, fields = []) {
      response.writeHead(status, [...fields]);
      response.flushHeaders();
    },
    write(chunk) {
      if (response.write(Buffer.from(chunk)) || response.destroyed) return Promise.resolve();
      return new Promise((resolve) => {
        const room = (): void => {
          response.off('drain', room).off('close', room);
          resolve();
        };
        response.on('drain', room).on('close', room);
      });
    },
    end(trailers = []) {
      if (trailers.length > 0) response.addTrailers(pairs(trailers));
      response.end();
    },
    inform(status, fields = []) {
      const lines = pairs(fields).map(([name, value]) => `${name}: ${value}\r\n`);
      message.socket.write(`HTTP/1.1 ${status} Interim\r\n${lines.join('')}\r\n`, 'latin1');
    },
    raw: (bytes) => void message.socket.write(bytes, 'latin1'),
    cut: () => message.socket.destroySoon(),
    reset: () => void message.socket.resetAndDestroy(),
    gone,
    node: response,
  };
}

/** The fields with a Content-Length, unless they or the status say how the body is framed. */
function framed(
  message: IncomingMessage,
  status: number,
  fields: Fields,
  body: string | Uint8Array,
): string[] {
  const bare = status === 204 || status === 304 || (message.method === 'HEAD' && body.length === 0);
  if (bare || hasField(fields, 'content-length') || hasField(fields, 'transfer-encoding')) return [...fields];
  return [...fields, 'Content-Length', String(Buffer.byteLength(body))];
}

function pairs(fields: Fields): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) list.push([fields[i]!, fields[i + 1]!]);
  return list;
}

async function runScript(script: Script, request: ScriptedRequest, answer: ScriptedAnswer): Promise<void> {
  const plain = typeof script === 'function' ? await script(request, answer) : script;
  if (plain) answer.send(plain.status ?? 200, plain.fields, plain.body);
}

const notFound: PlainAnswer = {
  status: 404,
  fields: ['Cache-Control', 'no-store'],
  body: 'no script for this path',
};

function scriptFor(table: ReadonlyMap<string, Script>, request: RecordedRequest): Script {
  let best: Script = notFound;
  let bestRank = 0;
  for (const [pattern, script] of table) {
    const rank = specificity(pattern, request);
    if (rank > bestRank) {
      best = script;
      bestRank = rank;
    }
  }
  return best;
}

function matches(pattern: string, request: RecordedRequest): boolean {
  return specificity(pattern, request) > 0;
}

/** 0: the pattern does not take the request; else the higher, the more precise. */
function specificity(pattern: string, request: RecordedRequest): number {
  const space = pattern.indexOf(' ');
  const method = space < 0 ? null : pattern.slice(0, space);
  if (method !== null && method !== request.method) return 0;
  const rank = pathSpecificity(pattern.slice(space + 1), request);
  return rank === 0 ? 0 : rank + (method === null ? 0 : 0.5);
}

function pathSpecificity(path: string, request: RecordedRequest): number {
  if (path === request.url) return 1_000_002;
  if (path === request.path) return 1_000_001;
  if (path === '*') return 1;
  return path.endsWith('*') && request.path.startsWith(path.slice(0, -1)) ? 1 + path.length : 0;
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

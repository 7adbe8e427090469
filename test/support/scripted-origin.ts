/**
 * A real HTTP/1.1 server on a free loopback port. The test writes every answer; the server records the requests.
 *
 *     const origin = await startScriptedOrigin({ '/a': { fields: ['Cache-Control', 'max-age=60'], body: 'a' } });
 *     origin.on('/slow', async (request, answer) => {        // a later `on` for a path replaces the earlier one
 *       await held.promise;                                  // a barrier: `const held = gate()`
 *       answer.send(200, ['ETag', '"1"'], 'body');
 *     });
 *     origin.on('PUT /a', async (request) => ({ status: 200, body: await request.received }));  // the returned answer is sent
 *     origin.url                  'http://127.0.0.1:43121'
 *     origin.requests             all requests so far: method, url, fields (raw pairs), body, at, connection
 *     origin.count('/a')          the number of its requests; also count('PUT /a'), count()
 *     await origin.seen('/a', 2)  waits for two requests
 *     origin.maxRunning           the largest number of requests that were unanswered at once
 *     await origin.close()        cuts open connections
 *
 * Patterns: `/path` (any query), `/path?q=1` (only this query), `/folder/*`, `*`, each with or without `METHOD ` before it.
 * The most specific pattern matches, in the order of this list. A request that no pattern matches gets a 404 with no-store.
 *
 * In a script, `answer.send` sends a whole answer; `answer.head` + `write` + `end` send it in pieces (`await answer.write()`
 * waits for room). `answer.inform(103, fields)` sends an interim response. `answer.raw(bytes)` sends any bytes; only `raw` and
 * `cut` may follow it. `answer.cut()` closes the connection in the middle, `answer.reset()` does so by RST. For a wrong length
 * use `answer.head(200, ['Content-Length', '10'])`, `answer.write('five.')`, `answer.cut()`. `answer.gone` resolves when the
 * connection is closed before the answer was complete. If a script throws, the connection is cut, and `close()` rejects with
 * the error.
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
  /** Handles requests to switch protocols; without it such requests are answered like others. */
  onUpgrade(script: (request: ScriptedRequest, socket: Duplex, head: Buffer) => void): void;
  count(pattern?: string): number;
  /** Resolves once `count(pattern)` has reached `times`. */
  seen(pattern: string, times?: number): Promise<void>;
  /** Deletes the recorded requests, but not the scripts. */
  forget(): void;
  /** Cuts every open connection and goes on listening. */
  cutAll(): void;
  /** Stops listening and cuts every connection; throws the error of a script, if one threw. */
  close(): Promise<void>;
}

export interface ScriptedRequest {
  readonly method: string;
  /** As in the request line. */
  readonly url: string;
  /** Names and values in turn, as received. */
  readonly fields: Fields;
  /** Lower-case names; Node joins repeated fields. */
  readonly headers: IncomingMessage['headers'];
  /** The monotonic time in milliseconds when the head was complete. */
  readonly at: number;
  /** The number of its connection: 1, 2, … */
  readonly connection: number;
  /** The part of the body that has been received so far. */
  readonly body: Buffer;
  /** The whole body; rejects if the client left before it was sent. */
  readonly received: Promise<Buffer>;
  /** Node's message object, to pause it or to read raw bytes. */
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
  /** Resolves when the connection was closed before the answer was complete. */
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

/** `scripts`: one for all requests, or one for each pattern. `port`: 0 for any free port. */
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
      // Node would write the head in the encoding of a string body; with bytes it stays latin1.
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

/** The fields with a Content-Length, unless they or the status already say how the body is framed. */
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

/** 0 if the pattern does not match the request; otherwise higher for more specific patterns. */
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

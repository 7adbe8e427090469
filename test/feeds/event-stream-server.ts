import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

interface Entry {
  readonly id: number;
  readonly data: () => string;
  readonly atMs: number;
}

/**
 * An origin with a change log as server-sent events: it replays after Last-Event-ID, sends `event: reset` if it can't,
 * `event: head` at the end of the replay, and comments after that. It can be cut, silenced, trimmed and restarted, and be
 * behind.
 */
export class EventStreamServer {
  readonly requests: IncomingMessage[] = [];
  /** The delay of published events. */
  behindMs = 0;
  readonly #heartbeatMs: number;
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<Stream>();
  #server: Server | null = null;
  #port = 0;
  #log: Entry[] = [];
  #nextId = 1;
  #isSilent = false;
  #heartbeat: NodeJS.Timeout | null = null;

  constructor(heartbeatMs: number) {
    this.#heartbeatMs = heartbeatMs;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/changes`;
  }

  /** The id of the last published event; 0 if there is none. */
  get lastId(): number {
    return this.#nextId - 1;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    this.#heartbeat = setInterval(() => this.beat(), this.#heartbeatMs);
  }

  async stop(): Promise<void> {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = once(server, 'close');
    server.close();
    this.cut();
    await closed;
  }

  publish(data: () => string): void {
    this.#log.push({ id: this.#nextId, data, atMs: performance.now() });
    this.#nextId += 1;
    this.#sendAll();
  }

  trim(): void {
    this.#log = [];
  }

  /** Starts a new log, with ids that the old one can't have used. */
  recreate(): void {
    this.#log = [];
    this.#nextId += 1_000_000;
    this.cut();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Sends a comment at once to every client that has received everything. */
  beat(): void {
    if (this.#isSilent) return;
    this.#sendAll();
    for (const stream of this.#streams) if (stream.next >= this.#nextId) stream.response.write(':\n\n');
  }

  silence(): void {
    this.#isSilent = true;
  }

  speak(): void {
    this.#isSilent = false;
    this.#sendAll();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(request);
    if (this.#isSilent) return;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const stream = new Stream(response, this.#nextId);
    this.#streams.add(stream);
    response.on('close', () => this.#streams.delete(stream));
    response.on('drain', () => this.#send(stream));
    this.#begin(stream, request.headers['last-event-id']);
  }

  #begin(stream: Stream, lastId: string | string[] | undefined): void {
    const wanted = lastId === undefined ? this.#nextId : Number(lastId) + 1;
    const first = this.#log[0]?.id ?? this.#nextId;
    const isKnown = wanted >= first && wanted <= this.#nextId;
    stream.next = isKnown ? wanted : first;
    stream.response.write(isKnown ? 'retry: 1000\n\n' : 'event: reset\n\n');
    this.#send(stream);
  }

  #sendAll(): void {
    for (const stream of this.#streams) this.#send(stream);
  }

  #send(stream: Stream): void {
    if (this.#isSilent) return;
    const dueMs = performance.now() - this.behindMs;
    for (const entry of this.#log) {
      if (entry.id < stream.next) continue;
      if (entry.atMs > dueMs) return;
      if (stream.response.writableNeedDrain) return;
      stream.next = entry.id + 1;
      stream.response.write(`id: ${entry.id}\ndata: ${entry.data()}\n\n`);
    }
    if (stream.hasHead || stream.next < this.#nextId) return;
    stream.hasHead = true;
    stream.response.write('event: head\n\n');
  }
}

class Stream {
  readonly response: ServerResponse;
  next: number;
  hasHead = false;

  constructor(response: ServerResponse, next: number) {
    this.response = response;
    this.next = next;
  }
}

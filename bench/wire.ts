/**
 * Sends requests on a plain connection, one at a time, at nearly no cost for the sender. A client that creates objects for
 * each message pauses for its own garbage collection, for longer than the times that are measured here.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const HEAD_END = '\r\n\r\n';
const LENGTH = /\r\ncontent-length: (\d+)\r\n/i;

export class Wire {
  readonly #socket: Socket;
  #received: Buffer[] = [];
  #settle: { resolve(): void; reject(error: Error): void } | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.once('close', () =>
      this.#settle?.reject(new Error('the connection was closed before the answer')),
    );
  }

  static async open(url: string): Promise<Wire> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return new Wire(socket);
  }

  /** Resolves with the milliseconds until a response with status 200 is complete. Rejects for any other status. */
  async time(request: Buffer): Promise<number> {
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(request);
    });
    return performance.now() - startedAt;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    this.#received.push(bytes);
    const text = Buffer.concat(this.#received).toString('latin1');
    const headEnd = text.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const length = LENGTH.exec(text)?.[1];
    const isWhole = length === undefined || text.length >= headEnd + HEAD_END.length + Number(length);
    if (!isWhole) return;
    this.#received = [];
    if (length !== undefined && text.startsWith('HTTP/1.1 200 ')) this.#settle?.resolve();
    else this.#settle?.reject(new Error(`expected 200 with a Content-Length, got ${text}`));
  }
}

/** Returns the bytes of a request with `json` as its content. */
export function requestBytes(method: 'GET' | 'POST', path: string, json?: unknown): Buffer {
  const body = json === undefined ? '' : JSON.stringify(json);
  const of = json === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: bench\r\n${of}\r\n${body}`, 'latin1');
}

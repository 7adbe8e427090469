/**
 * A client for tests. Each request has a new connection, so that the workers share the requests. The answer
 * has every byte, and says whether it was complete.
 */
import { request, type Agent, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  /** Keeps connections; without it each request has its own. */
  readonly agent?: Agent;
}

export interface Answer {
  readonly status: number;
  /** Lower-case names; repeated fields are joined. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  readonly body: string;
  /** False if it was cut short. */
  readonly whole: boolean;
}

/** Rejects if the connection ends before the head. */
export async function ask(url: string, asked: Asked = {}): Promise<Answer> {
  const message = await askHead(url, asked);
  return readAll(message);
}

/** Resolves with the head; the content is not read. */
export function askHead(url: string, asked: Asked = {}): Promise<IncomingMessage> {
  const { method = 'GET', headers = {}, body, agent = false } = asked;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers: headers as Record<string, string | string[]>, agent });
    sent.once('error', reject);
    sent.once('response', (message) => {
      sent.on('error', () => {});
      resolve(message);
    });
    sent.end(body);
  });
}

export function readAll(message: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  message.on('data', (chunk: Buffer) => chunks.push(chunk));
  message.on('error', () => {});
  return new Promise((resolve) => {
    message.once('close', () =>
      resolve({
        status: message.statusCode ?? 0,
        headers: Object.fromEntries(
          Object.entries(message.headers).map(([name, value]) => [name, String(value)]),
        ),
        fields: message.rawHeaders,
        body: Buffer.concat(chunks).toString('latin1'),
        whole: message.complete,
      }),
    );
  });
}

/** Resolves with the first bytes of the content. */
export function firstBytes(message: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve) => message.once('data', resolve));
}

/** The parameters of the last member of `Cache-Status`, with `hit` as `true`. */
export function cacheStatusOf(answer: Pick<Answer, 'headers'>): Record<string, string | true> {
  const [, ...parameters] = (answer.headers['cache-status'] ?? '').split(/, */).at(-1)!.split(/; */);
  return Object.fromEntries(
    parameters.map((parameter) => {
      const [name, value] = parameter.split('=', 2) as [string, string | undefined];
      return [name, value ?? true];
    }),
  );
}

/** Sends any bytes over a socket. */
export class RawConnection {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  isClosed = false;
  #looks: (() => void)[] = [];

  constructor(port: number, host = '127.0.0.1') {
    this.socket = connect({ port, host });
    this.socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      for (const look of this.#looks) look();
    });
    this.socket.on('error', () => {});
    this.socket.once('close', () => {
      this.isClosed = true;
      for (const look of this.#looks) look();
    });
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Resolves once the text has been received; rejects if the connection is closed before. */
  comes(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const all = this.received.toString('latin1');
        if (all.includes(text)) resolve(all);
        else if (this.isClosed) reject(new Error(`closed after: ${all}`));
      };
      this.#looks.push(look);
      look();
    });
  }

  /** Resolves with everything received when the other side has closed. */
  ended(): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.isClosed) resolve(this.received.toString('latin1'));
      };
      this.#looks.push(look);
      look();
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

/**
 * A client of tests: every request on a connection of its own, so that the workers share them, and what came told
 * to the byte, whole or not.
 */
import { request, type Agent, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  /** To keep a connection; one of its own else. */
  readonly agent?: Agent;
}

export interface Answer {
  readonly status: number;
  /** Lower-case names; repeated ones joined. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Name and value in turn. */
  readonly fields: readonly string[];
  readonly body: string;
  /** False: it was cut short. */
  readonly whole: boolean;
}

/** Rejects where the connection ends before a head is there. */
export async function ask(url: string, asked: Asked = {}): Promise<Answer> {
  const message = await askHead(url, asked);
  return readAll(message);
}

/** Resolves with the head; nothing of the content is read. */
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

/** Resolves with the first bytes of content. */
export function firstBytes(message: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve) => message.once('data', resolve));
}

/** What `Cache-Status` says Weir did: the last member's parameters, with `hit` as `true`. */
export function cacheStatusOf(answer: Pick<Answer, 'headers'>): Record<string, string | true> {
  const [, ...parameters] = (answer.headers['cache-status'] ?? '').split(/, */).at(-1)!.split(/; */);
  return Object.fromEntries(
    parameters.map((parameter) => {
      const [name, value] = parameter.split('=', 2) as [string, string | undefined];
      return [name, value ?? true];
    }),
  );
}

/** Bytes of one's own over a socket. */
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

  /** Resolves once the text has come; rejects where the connection is closed without it. */
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

  /** Resolves, when the other side has closed, with all that came. */
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

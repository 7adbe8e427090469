/** A small shop to try Weir with: an HTTP API with accurate caching fields and a change feed, on a loopback port. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { problem, sendAnswer } from './answer.ts';
import { createCatalogue } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import { followChanges } from './change-feed.ts';
import { createChangeLog, type ChangeLog } from './change-log.ts';
import { answerRequest } from './routes.ts';

export interface DemoShop {
  /** `http://127.0.0.1:PORT`, without a final slash. */
  readonly url: string;
  /** Closes open connections. */
  close(): Promise<void>;
}

export interface DemoShopOptions {
  /** 0: any free port. */
  readonly port: number;
  /** The delay of every response in milliseconds; the change feed is not delayed. */
  readonly delayMs: number;
}

const maxBodyBytes = 64 * 1024;

/** Rejects if the port can't be bound. All data is lost on close. */
export async function startDemoShop({ port, delayMs }: DemoShopOptions): Promise<DemoShop> {
  const log = createChangeLog();
  const catalogue = createCatalogue((transaction) => log.append(transaction));
  const server = createServer((request, response) => {
    response.on('error', () => response.destroy());
    if (request.method === 'GET' && request.url?.split('?', 1)[0] === '/changes') {
      followChanges(log, request, response);
      return;
    }
    void answerAfter(delayMs, catalogue, log, request, response);
  });
  // This is longer than Weir keeps idle connections, so that the shop never closes one in use.
  server.keepAliveTimeout = 65_000;
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answerAfter(
  delayMs: number,
  catalogue: Catalogue,
  log: ChangeLog,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request);
  if (body === 'gone') return;
  if (delayMs > 0) await delay(delayMs);
  if (response.destroyed) return;
  if (body === 'too-large') {
    response.setHeader('Connection', 'close');
    return sendAnswer(request, response, problem(413, `More than ${maxBodyBytes} bytes`));
  }
  const url = URL.parse(request.url ?? '', 'http://shop');
  if (url === null) return sendAnswer(request, response, problem(400, 'Not a URL'));
  const { method = 'GET', headers } = request;
  const answer = answerRequest({ method, url, headers, body }, catalogue);
  // The position that the response includes, in the change feed's terms.
  response.setHeader('X-Shop-Position', log.head);
  sendAnswer(request, response, answer);
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'too-large' | 'gone'> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBodyBytes) return 'too-large';
      chunks.push(chunk as Buffer);
    }
  } catch {
    // The client disconnected before it had sent everything.
    return 'gone';
  }
  return Buffer.concat(chunks);
}

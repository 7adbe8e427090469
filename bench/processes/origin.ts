/**
 * A process with an origin that answers every GET after a delay and counts the requests. The path has the size and the
 * delay: `/BYTES/DELAY_MS/…`. Responses have the tag `bench`. They are fresh for an hour, or may not be
 * stored if the path ends with `/no-store`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerParent } from './child.ts';

export type OriginQuestion = 'status';

export interface OriginStatus {
  readonly port: number;
  readonly requests: number;
}

const LARGEST_BYTES = 64 * 1024 * 1024;
const contents = new Map<number, Buffer>();
let requests = 0;

const server = createServer((request, response) => {
  requests += 1;
  const [, bytes, delayMs] = request.url!.split('/').map(Number);
  const content = contentOf(Math.min(bytes || 0, LARGEST_BYTES));
  const answer = (): void => {
    response.writeHead(200, [
      'Cache-Control',
      request.url!.endsWith('/no-store') ? 'no-store' : 'max-age=3600',
      'Content-Length',
      String(content.length),
      'Content-Type',
      'application/octet-stream',
      'ETag',
      `"${bytes}"`,
      'Surrogate-Key',
      'bench',
    ]);
    response.end(content);
  };
  if (delayMs) setTimeout(answer, delayMs);
  else answer();
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  void answerParent<OriginQuestion, OriginStatus>(() => ({ port, requests }));
});

function contentOf(bytes: number): Buffer {
  let content = contents.get(bytes);
  if (content === undefined) {
    content = Buffer.alloc(bytes, 'weir ');
    contents.set(bytes, content);
  }
  return content;
}

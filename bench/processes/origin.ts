/**
 * A process: an origin that answers every GET alike, after a delay, and counts. The path's first segment says how:
 * `/BYTES/DELAY_MS/…`. All that it answers may be kept for an hour and bears the tags `bench` and its second segment.
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
      'max-age=3600',
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

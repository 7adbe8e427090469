/** A process with a `node:http` server that sends the same response to every request: the floor of `node:http`. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerParent } from './child.ts';

export interface BareAnswer {
  readonly status: number;
  readonly fields: readonly string[];
  readonly content: Uint8Array;
}

let answer: BareAnswer = { status: 204, fields: [], content: new Uint8Array() };

const server = createServer((_request, response) => {
  response.writeHead(answer.status, answer.fields as string[]);
  response.end(answer.content);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  void answerParent<BareAnswer, number>((given) => {
    answer = given;
    return port;
  });
});

/** A process: the least that `node:http` can do. Sends one answer that it was given, whatever it is asked. */
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

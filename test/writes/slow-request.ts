import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';

/** A request whose head has reached Weir's listener; `finish` sends the rest of its content. */
export function sendSlowly(url: string, method: string, body: string) {
  const sent = request(url, { method, headers: { Expect: '100-continue', 'Content-Length': body.length } });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  const begun = once(sent, 'continue');
  sent.flushHeaders();
  let written = 0;
  return {
    begun,
    /** Sends the beginning of the content; calls `done` when it was handed to the network. */
    write(text: string, done: () => void): void {
      written += text.length;
      sent.write(text, done);
    },
    async finish(): Promise<number | undefined> {
      sent.end(body.slice(written));
      const [answer] = await answered;
      answer.resume();
      return answer.statusCode;
    },
  };
}

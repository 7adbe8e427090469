import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';

/** A request whose head has come to Weir's listener, and whose content comes with `finish`. */
export function sendSlowly(url: string, method: string, body: string) {
  const sent = request(url, { method, headers: { Expect: '100-continue', 'Content-Length': body.length } });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  const begun = once(sent, 'continue');
  sent.flushHeaders();
  let written = 0;
  return {
    begun,
    /** The beginning of the content; `done` when it was given to the network. */
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

import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { listen, RawClient } from './harness.ts';

const FIELD = ['X', 'caf\xe9'];
const AS_SENT = 'X: caf\xe9\r\n';

/** The bytes that were received when the content begins. It begins when the head was sent. */
async function headOf(begin: (exchange: Exchange) => void, method = 'GET'): Promise<string> {
  await using listener = await listen({ onExchange: begin });
  const request = `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  return await new RawClient(listener.port).send(request).until('\r\n\r\n');
}

describe('RFC 9110 §5.5: bytes beyond ASCII are unchanged', () => {
  it.each(['4', null])('in a head that is sent before its content, of length %s', async (length) => {
    const fields = length === null ? FIELD : [...FIELD, 'Content-Length', length];
    expect(await headOf((exchange) => void exchange.stream(200, fields))).toContain(AS_SENT);
  });

  it('in a head without content', async () => {
    const answer = (exchange: Exchange): void => {
      const sink = exchange.stream(200, FIELD);
      setImmediate(() => sink.end());
    };
    expect(await headOf(answer, 'HEAD')).toContain(AS_SENT);
  });

  it('in an interim response', async () => {
    expect(await headOf((exchange) => exchange.inform(103, FIELD))).toContain(AS_SENT);
  });

  it('in an answer that is complete at once', async () => {
    expect(await headOf((exchange) => exchange.respond(200, FIELD, Buffer.from('a')))).toContain(AS_SENT);
    expect(await headOf((exchange) => exchange.respond(200, FIELD, null))).toContain(AS_SENT);
  });
});

import { expect, it } from 'vitest';
import type { Origin } from '../../origin-adapters/origin.ts';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { passToOrigin } from '../../proxy/request/pass-exchange.ts';

it('what follows from a whole answer is done before the client has the end of it', () => {
  const order: string[] = [];
  const exchange: Partial<Exchange> = {
    onGone: () => {},
    stream: () => ({ write: () => true, onDrain: () => {}, end: () => order.push('the client has it') }),
  };
  const origin: Partial<Origin> = {
    send(_request, handler) {
      queueMicrotask(() => {
        handler.onHead(200, []);
        handler.onEnd([]);
      });
      return { pause: () => {}, resume: () => {}, abort: () => {} };
    },
  };
  const done = Promise.withResolvers<void>();
  const request = { method: 'POST', path: '/', fields: [], body: null, unboundedBody: false };
  passToOrigin(
    exchange as Exchange,
    origin as Origin,
    request,
    {},
    {
      onHead: () => [],
      told: (_status, fields) => fields,
      onContent: () => {},
      onEnd: () => {
        order.push('it is stored');
        queueMicrotask(done.resolve);
      },
      onFailure: () => {},
      onCut: () => {},
    },
  );
  return done.promise.then(() => expect(order).toEqual(['it is stored', 'the client has it']));
});

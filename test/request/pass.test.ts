import { expect, it } from 'vitest';
import type { Origin } from '../../origin-adapters/origin.ts';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { AccessRecords } from '../../proxy/request/access-records.ts';
import type { RoutedContext } from '../../proxy/request/context.ts';
import { PassHandler } from '../../proxy/request/handlers/pass.ts';
import { systemClock } from '../../proxy/threads/clock.ts';

it('effects of a complete response come before the client receives its end', () => {
  const order: string[] = [];
  const exchange: Partial<Exchange> = {
    method: 'POST',
    fields: [],
    body: null,
    onGone: () => {},
    onEnd: () => {},
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
  const records = new AccessRecords({ request: () => {}, originHead: () => {} }, systemClock, null);
  const route = { origin, config: { name: 'all' } };
  new PassHandler(systemClock, records).enter({ exchange, route } as RoutedContext, 'around', {
    outcome: 'write',
    forward: 'method',
    path: '/',
    fields: [],
    told: (_status, fields) => fields,
    onSettled: () => {
      order.push('it is stored');
      queueMicrotask(done.resolve);
    },
  });
  return done.promise.then(() => expect(order).toEqual(['it is stored', 'the client has it']));
});

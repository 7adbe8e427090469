/**
 * Writes that tests offer to the journal. This module does not use the test runner, because a process uses it
 * too.
 */
import type { Acceptance, OfferedWrite } from '../../proxy/writes/journal/appender.ts';
import { orderQueueId } from '../../proxy/writes/journal/order-queues.ts';

export function offer(target: string, body: string | Buffer, more: Partial<OfferedWrite> = {}): OfferedWrite {
  return {
    origin: 'shop',
    route: 'item',
    method: 'PUT',
    target,
    authority: 'weir',
    scheme: 'http',
    fields: [],
    body: Buffer.from(body),
    idempotencyKey: null,
    clientKey: null,
    merges: false,
    queue: orderQueueId({ origin: 'shop', authority: null, target }),
    tags: [`url:${target}`],
    ...more,
  };
}

export function numberOf(acceptance: Acceptance): number {
  if (acceptance.kind !== 'accepted') throw new Error(acceptance.kind);
  return acceptance.number;
}

import { expect, it } from 'vitest';
import type { Config } from '../../policies/config/config.ts';
import { BreakerOpen } from '../../origin-adapters/http/breaker.ts';
import type { Origin, OriginFailure } from '../../origin-adapters/origin.ts';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { Deliveries } from '../../proxy/writes/delivery/deliveries.ts';
import type { Journal } from '../../proxy/writes/journal/journal.ts';
import { orderQueueId } from '../../proxy/writes/journal/order-queues.ts';
import { OrderQueues } from '../../proxy/writes/journal/order-queues.ts';
import { sendOnce } from '../../proxy/writes/delivery/attempts.ts';
import { originPrefix } from '../../proxy/writes/journal/record.ts';
import { DurableClock } from '../../proxy/writes/journal/durable-clock.ts';
import type { DueRow } from '../../proxy/writes/journal/tables.ts';
import { MemoryState } from '../support/memory-state.ts';
import { startScene } from './setting.ts';

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });

it('a delivery looks at few of many stopped queues at a time, and finds the writes that may follow', async () => {
  const rows: DueRow[] = Array.from({ length: 5_001 }, (_, i) => ({
    prefix: originPrefix('shop'),
    number: i + 1,
    order: i + 1,
    queue: orderQueueId({ origin: 'shop', authority: null, target: `/${i}` }),
    dueAtMs: 0,
  }));
  const last = rows.at(-1)!;
  let looked = 0;
  let most = 0;
  let turns = 0;
  const begun: number[] = [];
  const journal = {
    tables: {
      *dues(_origin: string, after: DueRow | null) {
        for (const row of rows.slice(after?.number ?? 0)) {
          looked += 1;
          most = Math.max(most, looked);
          yield row;
        }
      },
      origins: () => [],
      records: () => [],
    },
    begin: async (number: number) => {
      begun.push(number);
      return { kind: 'gone' };
    },
  } as unknown as Journal;
  const queues: OrderQueues = new OrderQueues({ first: () => null, last: () => null }, (queue) =>
    deliveries.freed(queue),
  );
  for (const { queue } of rows.slice(0, -1)) queues.unsettled(queue);
  const moved = (): void => {};
  const durableClock = new DurableClock({ state: new MemoryState(), clock });
  const deliveries: Deliveries = new Deliveries({
    journal,
    queues,
    clock,
    durableClock,
    log,
    random: () => 0,
    moved,
    ended: () => {},
  });
  const config = { routes: [], journal: { deliveries: 16 }, origins: { shop: { maxProcessingMs: 1 } } };
  const target = { origin: {} as Origin, atOnce: 16, openUntilMs: () => 0 };
  deliveries.configure(config as unknown as Config, new Map([['shop', target]]));
  while (begun.length === 0) {
    looked = 0;
    turns += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(begun).toEqual([last.number]);
  expect(turns).toBeGreaterThan(5);
  expect(most).toBeLessThan(1_100);
  queues.settled(rows[7]!.queue);
  await expect.poll(() => begun).toContain(8);
  await deliveries.close();
});

it('no more deliveries begin than the origin has connections, because a waiting request would count as an attempt', async () => {
  const scene = await startScene({ origin: ', connections: 1' });
  const begun: number[] = [];
  scene.origin.on('PUT *', async () => {
    const waiting = await scene.writes('waiting');
    begun.push(waiting.filter(({ attempts }) => attempts !== 0).length);
    return { status: 204 };
  });
  const paths = Array.from({ length: 8 }, (_, i) => `/items/${i}`);
  await Promise.all(paths.map((path) => scene.send('PUT', path, 'x')));
  await expect.poll(async () => (await scene.stats())['waiting']).toBe(0);
  expect(begun).toEqual(paths.map(() => 1));
  await scene.close();
});

it.each([
  ['the breaker', 'destination_unavailable', new BreakerOpen()],
  ['our own limit on connections', 'connection_limit_reached', null],
  ['our own end', 'connection_terminated', null],
] as const)('a write that %s delayed was not attempted', async (_what, kind, cause) => {
  const failing = (maybeProcessed: boolean): Origin => {
    const failure: OriginFailure = { kind, status: 503, message: '', maybeProcessed, cause };
    return {
      send: (_request: unknown, handler: { onFailure(failure: OriginFailure): void }) =>
        handler.onFailure(failure),
    } as unknown as Origin;
  };
  const request = { method: 'PUT', path: '/', fields: [], body: null, unboundedBody: false } as const;
  const send = async (origin: Origin) =>
    (await sendOnce(origin, { ...request, priority: 'background' })).kind;
  expect([await send(failing(false)), await send(failing(true))]).toEqual(['not-sent', 'attempted']);
});

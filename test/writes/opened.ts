import { afterEach } from 'vitest';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import type { Acceptance, OfferedWrite } from '../../proxy/writes/journal/appender.ts';
import { Journal } from '../../proxy/writes/journal/journal.ts';
import { orderQueueId } from '../../proxy/writes/journal/order-queues.ts';
import { HoldSlots } from '../../proxy/writes/through/hold-slots.ts';
import { TimedHolds } from '../../proxy/writes/journal/timed-holds.ts';
import { OrderQueues } from '../../proxy/writes/journal/order-queues.ts';
import { DurableClock } from '../../proxy/writes/journal/durable-clock.ts';
import { WriteThroughGate } from '../../proxy/writes/through/gate.ts';
import type { MemoryState } from '../support/memory-state.ts';

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });
const opened: TimedHolds[] = [];

afterEach(() => {
  for (const timedHolds of opened.splice(0)) timedHolds.close();
});

/** What of the journal rests on this state; closed after each test. */
export async function open(
  state: MemoryState,
  sizeBytes = 2 ** 20,
  limits = { heldPerClient: 1000, held: 10_000 },
) {
  const fence = await Fence.open(1000, { state, clock });
  const queues: OrderQueues = new OrderQueues(
    {
      first: (queue) => journal.tables.first(queue)?.order ?? null,
      last: (queue) => journal.tables.last(queue)?.order ?? null,
    },
    () => {},
  );
  const durableClock = new DurableClock({ state, clock });
  const slots = new HoldSlots({ limits: () => limits, durableClock, log });
  const timedHolds = new TimedHolds({ state, fence, durableClock, log, slots, queues: () => queues });
  opened.push(timedHolds);
  const quarantined: number[] = [];
  const journal: Journal = new Journal({
    state,
    fence,
    clock,
    durableClock,
    timedHolds,
    limits: () => ({ sizeBytes, done: 3, responsesBytes: 1_000 }),
    hasWaitingBehind: (queue) => queues.hasWaiting(queue),
    onQuarantined: (number) => quarantined.push(number),
  });
  journal.restoreHolds();
  await timedHolds.restore();
  const gate = new WriteThroughGate({ state, fence, queues, timedHolds, slots, durableClock, log });
  const reader = new FenceReader(new SharedWords(fence.buffer), clock);
  return {
    fence,
    journal,
    queues,
    timedHolds,
    gate,
    slots,
    durableClock,
    quarantined,
    isHeld: (tag: string) => reader.isHeld(fence.hasher.hash([tag])),
  };
}

export function offer(target: string, body: string, more: Partial<OfferedWrite> = {}): OfferedWrite {
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

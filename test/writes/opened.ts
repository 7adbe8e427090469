import { afterEach } from 'vitest';
import type { Config } from '../../policies/config/config.ts';
import { systemClock as clock, type Clock } from '../../proxy/threads/clock.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { OriginCounters } from '../../proxy/origins/origin-counters.ts';
import { Journal } from '../../proxy/writes/journal/journal.ts';
import { HoldSlots } from '../../proxy/writes/through/hold-slots.ts';
import { TimedHolds } from '../../proxy/writes/journal/timed-holds.ts';
import { OrderQueues } from '../../proxy/writes/journal/order-queues.ts';
import { DurableClock } from '../../proxy/writes/journal/durable-clock.ts';
import { WriteThroughGate } from '../../proxy/writes/through/gate.ts';
import { Writes } from '../../proxy/writes/writes.ts';
import type { MemoryState } from '../support/memory-state.ts';

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });
const opened: TimedHolds[] = [];

afterEach(() => {
  for (const timedHolds of opened.splice(0)) timedHolds.close();
});

/** The parts of the journal over this state, closed after each test. */
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

/** All of the coordinator's writes over a state, with one worker. The caller closes them. */
export async function openWrites(of: {
  readonly config: Config;
  readonly state: MemoryState;
  readonly clock: Clock;
}) {
  const fence = await Fence.open(1000, of);
  const writes = await Writes.open({ ...of, fence, log, originCounters: new OriginCounters(), workers: 1 });
  return { fence, writes };
}

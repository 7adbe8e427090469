import { afterEach } from 'vitest';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import type { Acceptance, OfferedWrite } from '../../proxy/writes/journal/appender.ts';
import { Journal } from '../../proxy/writes/journal/journal.ts';
import { lineKeyOf } from '../../proxy/writes/journal/order-queues.ts';
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
  const lines: OrderQueues = new OrderQueues(
    {
      first: (line) => journal.tables.first(line)?.order ?? null,
      last: (line) => journal.tables.last(line)?.order ?? null,
    },
    () => {},
  );
  const time = new DurableClock({ state, clock });
  const slots = new HoldSlots({ limits: () => limits, time, log });
  const timedHolds = new TimedHolds({ state, fence, time, log, slots, lines: () => lines });
  opened.push(timedHolds);
  const buried: number[] = [];
  const journal: Journal = new Journal({
    state,
    fence,
    clock,
    time,
    timedHolds,
    limits: () => ({ sizeBytes, done: 3, responsesBytes: 1_000 }),
    hasWaitingBehind: (line) => lines.hasWaiting(line),
    onBuried: (number) => buried.push(number),
  });
  journal.restoreHolds();
  await timedHolds.restore();
  const desk = new WriteThroughGate({ state, fence, lines, timedHolds, slots, time, log });
  const reader = new FenceReader(new SharedWords(fence.buffer), clock);
  return {
    fence,
    journal,
    lines,
    timedHolds,
    desk,
    slots,
    time,
    buried,
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
    line: lineKeyOf({ origin: 'shop', authority: null, target }),
    tags: [`url:${target}`],
    ...more,
  };
}

export function numberOf(acceptance: Acceptance): number {
  if (acceptance.kind !== 'accepted') throw new Error(acceptance.kind);
  return acceptance.number;
}

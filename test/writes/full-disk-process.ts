/**
 * A process on a small file system: accepts writes until there is no room, prints how many it acknowledged,
 * opens the state again, and prints how many of them are there whole.
 */
import { Fence } from '../../proxy/fence/fence.ts';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { openState } from '../../proxy/state/state-store.ts';
import { Journal } from '../../proxy/writes/journal/journal.ts';
import { HoldSlots } from '../../proxy/writes/through/hold-slots.ts';
import { TimedHolds } from '../../proxy/writes/journal/timed-holds.ts';
import { OrderQueues } from '../../proxy/writes/journal/order-queues.ts';
import { DurableClock } from '../../proxy/writes/journal/durable-clock.ts';
import { offer } from './offered.ts';

const [, , path] = process.argv;
const log = createLog({ level: 'silent', thread: 'test', fd: 1 });

async function open() {
  const opened = await openState(path!, 2 ** 20);
  if (opened.kind === 'failed') throw new Error(opened.reason);
  const { state } = opened;
  const fence = await Fence.open(1000, { state, clock });
  const queues = new OrderQueues({ first: () => null, last: () => null }, () => {});
  const durableClock = new DurableClock({ state, clock });
  const slots = new HoldSlots({ limits: () => ({ heldPerClient: 1000, held: 10_000 }), durableClock, log });
  const timedHolds = new TimedHolds({ state, fence, durableClock, log, slots, queues: () => queues });
  const limits = { sizeBytes: 2 ** 30, done: 0, responsesBytes: 0 };
  const deps = {
    state,
    fence,
    clock,
    durableClock,
    timedHolds,
    limits: () => limits,
    hasWaitingBehind: () => false,
    onQuarantined: () => {},
  };
  return { state, fence, journal: new Journal(deps) };
}

const first = await open();
const acknowledged: number[] = [];
let refused = 0;
for (let i = 0; i < 2_000 && refused < 20; i += 1) {
  const acceptance = await first.journal.accept(offer(`/${i}`, Buffer.alloc(64 * 1024, i % 251)));
  if (acceptance.kind === 'accepted') acknowledged.push(acceptance.number);
  else if (acceptance.kind === 'not-durable') refused += 1;
  else throw new Error(acceptance.kind);
}
await first.state.close();

const again = await open();
let whole = 0;
for (const number of acknowledged) {
  const read = again.journal.tables.record('waiting', number);
  const body = again.journal.tables.body(number);
  if (read?.kind === 'record' && body?.length === 64 * 1024) whole += 1;
}
process.stdout.write(
  JSON.stringify({
    acknowledged: acknowledged.length,
    refused,
    whole,
    waiting: again.journal.counts.waiting,
  }),
);
await again.state.close();

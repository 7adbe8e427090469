/** The entry of a worker thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { openDiskReader } from '../store/disk/reader.ts';
import { WorkerDiskTier } from '../store/disk/worker-disk.ts';
import { createKnownDigests } from '../store/disk/known-digests.ts';
import { createUsedEntries } from '../store/disk/used-entries.ts';
import { createWritesInFlight } from '../store/disk/writes-in-flight.ts';
import { systemClock } from '../threads/clock.ts';
import { createAccessLog, createLog, STANDARD_OUTPUT } from '../observability/logger.ts';
import { ALL_MECHANISMS } from '../mechanisms.ts';
import { SharedRecorder } from '../observability/shared-recorder.ts';
import type { CoordinatorCalls, WorkerCalls, WorkerStart } from './calls.ts';
import { Channel, type Handlers } from '../threads/channel.ts';
import { keyHashOf, WorkerRuntime, type RuntimeDependencies } from './worker-runtime.ts';

const start = workerData as WorkerStart;
const thread = `worker ${start.index}`;
const log = createLog({ level: start.configuration.config.log.level, thread, fd: STANDARD_OUTPUT });

const handlers: Handlers<WorkerCalls> = {
  reload: (configuration) => runtime.reload(configuration),
  peer: ({ index, port }) => runtime.connectPeer(index, port),
  stats: () => runtime.stats(),
  entries: ({ key }) => ({
    memory: runtime.tiers.memory.get(key).map((entry) => entry.head),
    disk: runtime.tiers.disk?.heads(key) ?? [],
  }),
  dropEntries: ({ key, ids }) => ids.forEach((id) => runtime.tiers.forget(key, id)),
  find: ({ tags }) => runtime.find(tags),
  drain: (drain) => runtime.drain(drain),
  underWay: () => runtime.underWay(),
  close: () => runtime.close(),
};
const coordinator = new Channel<CoordinatorCalls, WorkerCalls>(parentPort!, handlers, (call, error) =>
  log.error({ event: 'coordinator-call-failed', call, err: error }, 'a call of the coordinator failed'),
);

const disk = openDiskTier();

const runtime = new WorkerRuntime({
  start,
  clock: systemClock,
  mechanisms: ALL_MECHANISMS,
  log,
  accessLog: createAccessLog({ thread, fd: STANDARD_OUTPUT }),
  recorder: new SharedRecorder((part) => coordinator.tell('recorded', part)),
  disk,
  invalidate: (tags, entry) => coordinator.call('invalidate', { tags, entry }),
  invalidateBut: (tag, entry) => coordinator.call('invalidateBut', { tag, ...entry }),
  journal: {
    admitThrough: (request) => coordinator.call('admitThrough', request),
    abandonThrough: (ticket) => coordinator.tell('abandonThrough', { ticket }),
    settleThrough: (end) => coordinator.call('settleThrough', end),
    takeSlot: (write) => coordinator.call('takeSlot', write),
    giveSlot: (slot) => coordinator.tell('giveSlot', { slot }),
    holdUnknown: (write) => coordinator.call('holdUnknown', write),
    acceptWrite: (request) =>
      coordinator.call(
        'acceptWrite',
        request,
        request.body === null ? [] : [request.body.buffer as ArrayBuffer],
      ),
    originResponse: (ticket) => coordinator.call('originResponse', { ticket }),
    readPending: (request) => coordinator.call('readPending', request),
  },
  originReports: (reports) => coordinator.tell('originReports', reports),
  deliver: (delivery) => coordinator.call('deliver', delivery),
});

const listening = await runtime.listen();
if (listening.kind === 'listening') coordinator.tell('listening', { port: listening.port });
else coordinator.tell('listenFailed', { code: listening.code, message: listening.message });

function openDiskTier(): RuntimeDependencies['disk'] {
  if (start.disk === null) return null;
  const { path, shared } = start.disk;
  const opened = openDiskReader({ path, onDamaged: (key, id) => void tier.discard(key, id) });
  if (opened.kind === 'failed') {
    log.error({ event: 'disk-tier-off', reason: opened.reason });
    return null;
  }
  const { reader } = opened;
  const tier = new WorkerDiskTier({
    reader,
    writer: coordinator,
    writesInFlight: createWritesInFlight(start.writesInFlight, start.index, keyHashOf(start)),
    used: createUsedEntries(shared.used),
    known: createKnownDigests(shared.known),
    outcomes: shared.outcomes,
    worker: start.index,
    // An entry in flight is in memory here, and in the writer's queue.
    creditBytes: start.configuration.config.cache.disk.queueBytes / 2 / start.workers,
  });
  return { tier, corrupt: () => reader.counters.corrupt };
}

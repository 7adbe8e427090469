import { describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { orderQueueId } from '../../proxy/writes/journal/order-queues.ts';
import { configOf } from '../config/load.ts';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from './offered.ts';
import { open, openWrites } from './opened.ts';

describe('writes through', () => {
  const REQUEST = {
    queue: { origin: 'shop', authority: null, target: '/1' },
    client: '00000000000000aa',
    tags: ['url:/1'],
    waitMs: 60_000,
    waiting: 10,
    maxProcessingMs: 60_000,
  };

  it("do not begin where their hold can't be stored", async () => {
    const state = new MemoryState();
    const { gate, fence } = await open(state);
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    expect(await gate.admit(1, { ...REQUEST, ticket: 1 })).toEqual({ kind: 'not-durable' });
    expect(fence.holds).toBe(0);
  });

  it('of a dead worker, or of a killed process, remain held', async () => {
    const state = new MemoryState();
    const { gate, isHeld, timedHolds, queues } = await open(state);
    const queue = orderQueueId(REQUEST.queue);
    expect((await gate.admit(1, { ...REQUEST, ticket: 1 })).kind).toBe('admitted');
    gate.workerDied(1);
    await expect.poll(() => timedHolds.size).toBe(1);
    expect(isHeld('url:/1')).toBe(true);
    expect(queues.admitsJournal(queue, 1)).toBe(false);
    const other = { ...REQUEST.queue, target: '/2' };
    expect((await gate.admit(2, { ...REQUEST, queue: other, ticket: 1 })).kind).toBe('admitted');
    const after = await open(state.crashed());
    expect(after.timedHolds.size).toBe(2);
    expect(after.isHeld('url:/1')).toBe(true);
    expect(after.queues.admitsJournal(queue, 1)).toBe(false);
  });

  it('of a worker that died while their hold was being stored do not begin, and hold nothing', async () => {
    const state = new MemoryState();
    const { gate, fence, queues } = await open(state);
    const synced = Promise.withResolvers<void>();
    state.beforeCommit = () => synced.promise;
    const admission = gate.admit(1, { ...REQUEST, ticket: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    gate.workerDied(1);
    synced.resolve();
    await admission;
    expect(gate.running).toBe(0);
    expect(fence.holds).toBe(0);
    expect(queues.admitsJournal(orderQueueId(REQUEST.queue), 1)).toBe(true);
    expect((await open(state.crashed())).fence.holds).toBe(0);
  });

  it("remain held where their end can't be stored, and are invalid at once", async () => {
    const state = new MemoryState();
    const { gate, isHeld, fence } = await open(state);
    const admission = await gate.admit(1, { ...REQUEST, ticket: 1 });
    if (admission.kind !== 'admitted') throw new Error(admission.kind);
    const before = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    await gate.settle({ hold: admission.hold, outcome: 'applied', moreTags: [], entryTags: null });
    expect(fence.touchedSince(fence.hasher.hash(['url:/1']), before)).toBe(true);
    expect(isHeld('url:/1')).toBe(true);
  });

  it('wait while an earlier one of unknown outcome may still be carried out, and no longer', async () => {
    const { gate, timedHolds, queues } = await open(new MemoryState());
    const request = { ...REQUEST, waitMs: 0, maxProcessingMs: 3_000 };
    const admission = await gate.admit(1, { ...request, ticket: 1 });
    if (admission.kind !== 'admitted') throw new Error(admission.kind);
    const settling = gate.settle({
      hold: admission.hold,
      outcome: 'unknown',
      moreTags: [],
      entryTags: null,
    });
    // Before its end is on disk.
    const second = gate.admit(1, { ...request, ticket: 2, maxProcessingMs: 60_000 });
    const impatient = gate.admit(1, { ...request, ticket: 3, maxProcessingMs: 1 });
    await settling;
    const queue = orderQueueId(REQUEST.queue);
    expect([timedHolds.size, queues.admitsJournal(queue, 1)]).toEqual([1, false]);
    expect(await impatient).toEqual({ kind: 'busy' });
    expect([(await second).kind, timedHolds.size]).toEqual(['admitted', 0]);
    // Writes that were accepted meanwhile come after it.
    expect(queues.admitsJournal(queue, 1)).toBe(false);
  });

  it('do not wait for an attempt of unknown outcome when Weir stops', async () => {
    const state = new MemoryState();
    const config = configOf('origins: { shop: { url: "http://127.0.0.1:1" } }');
    const { writes } = await openWrites({ config, state, clock });
    const { admitThrough, settleThrough } = writes.callsOf(1);
    const first = await admitThrough({ ...REQUEST, ticket: 1 });
    if (first.kind !== 'admitted') throw new Error(first.kind);
    await settleThrough({ hold: first.hold, outcome: 'unknown', moreTags: [], entryTags: null });
    const before = admitThrough({ ...REQUEST, ticket: 2 });
    writes.endWaiting();
    const after = admitThrough({ ...REQUEST, ticket: 3 });
    expect(await Promise.all([before, after])).toEqual([{ kind: 'busy' }, { kind: 'busy' }]);
    await writes.close();
  });

  it('wait for the journal in the order of their arrival, in limited number and for a limited time', async () => {
    const state = new MemoryState();
    const { gate, journal, queues } = await open(state);
    const number = numberOf(await journal.accept(offer('/1', 'x')));
    const one = gate.admit(1, { ...REQUEST, ticket: 1, waiting: 1 });
    expect(await gate.admit(1, { ...REQUEST, ticket: 2, waiting: 1 })).toEqual({ kind: 'busy' });
    const later = numberOf(await journal.accept(offer('/1', 'y')));
    const queue = orderQueueId(REQUEST.queue);
    expect([queues.admitsJournal(queue, number), queues.admitsJournal(queue, later)]).toEqual([true, false]);
    const begun = await journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    await journal.leave(number, { section: 'done', record, timedHold: null, moreTags: [] });
    queues.journalMoved(queue);
    const admission = await one;
    expect(admission.kind).toBe('admitted');
    expect(queues.admitsJournal(queue, later)).toBe(false);
    if (admission.kind !== 'admitted') return;
    await gate.settle({ hold: admission.hold, outcome: 'applied', moreTags: [], entryTags: null });
    expect(queues.admitsJournal(queue, later)).toBe(true);
    expect(await gate.admit(1, { ...REQUEST, ticket: 3, waitMs: 1 })).toEqual({ kind: 'busy' });
  });
});

describe('holds', () => {
  it('are counted, and a bucket with too many is held as a whole', async () => {
    const { fence, isHeld } = await open(new MemoryState());
    const tags = fence.hasher.hash(Array.from({ length: 5000 }, (_, i) => `tag:${i}`));
    await fence.hold(tags, () => {});
    await fence.hold(tags, () => {});
    expect(isHeld('tag:4999')).toBe(true);
    fence.drop(tags);
    expect(isHeld('tag:4999')).toBe(true);
    await fence.release(tags, [], () => {});
    expect(fence.holds).toBe(0);
    expect(Array.from({ length: 5000 }, (_, i) => isHeld(`tag:${i}`)).includes(true)).toBe(false);
  });
});

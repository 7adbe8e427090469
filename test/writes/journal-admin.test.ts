import { expect, it } from 'vitest';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import type { Deliveries } from '../../proxy/writes/delivery/deliveries.ts';
import { numberOf as numberOfId } from '../../proxy/writes/journal/record.ts';
import { JournalAdmin } from '../../proxy/writes/journal-admin.ts';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from './offered.ts';
import { open } from './opened.ts';

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });

const counts = () => ({
  accepted: 0,
  merged: 0,
  through: 0,
  timedHolds: 0,
  held: 0,
  refused: { client: 0, all: 0 },
});

type Opened = Awaited<ReturnType<typeof open>>;

function adminOf({ journal, durableClock }: Opened, deliveries = {} as Deliveries): JournalAdmin {
  const sinks = { moved: () => {}, discarded: () => {} };
  return new JournalAdmin({ journal, deliveries, log, clock, durableClock, counts, ...sinks });
}

/** The record that a write gets when its delivery is given up. */
async function deadRecord({ journal }: Opened, number: number) {
  const begun = await journal.begin(number, 0);
  if (begun.kind !== 'begun') throw new Error(begun.kind);
  return { ...begun.record, state: 'dead' } as const;
}

async function leaveDead(opened: Opened, number: number) {
  const record = await deadRecord(opened, number);
  await opened.journal.leave(number, { section: 'dead', record, timedHold: null, moreTags: [] });
  return record;
}

it('only one of two operators who change a dead write succeeds', async () => {
  const opened = await open(new MemoryState());
  const { journal, fence } = opened;
  const record = await leaveDead(opened, numberOf(await journal.accept(offer('/1', 'x'))));
  const busy = new Set<number>();
  const deliveries = {
    knows: () => true,
    wake: () => {},
    reserve(_origin: string, reserved: number) {
      if (busy.has(reserved)) return null;
      busy.add(reserved);
      return () => void busy.delete(reserved);
    },
  } as unknown as Deliveries;
  const admin = adminOf(opened, deliveries);
  const actions = await Promise.all([admin.retry(record.id), admin.discard(record.id)]);
  expect(actions.map(({ kind }) => kind)).toEqual(['done', 'conflict']);
  expect([journal.counts.waiting, fence.holds]).toEqual([1, 1]);
  expect((await admin.discard(record.id)).kind).toBe('done');
  expect([journal.counts.waiting, fence.holds]).toEqual([0, 0]);
});

it('writes are listed in the order of their acceptance, page by page, in any state', async () => {
  const opened = await open(new MemoryState());
  const { journal } = opened;
  const first = numberOf(await journal.accept(offer('/1', 'x')));
  const second = numberOf(await journal.accept(offer('/2', 'x')));
  await leaveDead(opened, second);
  const admin = adminOf(opened);
  const [one] = admin.list(null, 1, null)!;
  const [two] = admin.list(null, 1, one!.id)!;
  expect([one!.id, two!.id].map(numberOfId)).toEqual([first, second]);
  expect(admin.list(null, 1, two!.id)).toEqual([]);
});

it('a waiting write shows which write it waits for, and which URLs a dead one stops', async () => {
  const opened = await open(new MemoryState());
  const { journal } = opened;
  const first = numberOf(await journal.accept(offer('/1', 'x')));
  await journal.accept(offer('/1', 'y'));
  await journal.accept(offer('/2', 'z'));
  const admin = adminOf(opened);
  const head = admin.list('waiting', 10, null)![0]!.id;
  const waitsFor = () => admin.list(null, 10, null)!.map((write) => write.waitsFor);
  expect(waitsFor()).toEqual([null, { id: head, state: 'waiting' }, null]);
  expect(admin.stopped(10)).toEqual([]);
  await journal.stopQueue(first, await deadRecord(opened, first));
  expect(waitsFor()).toEqual([null, { id: head, state: 'dead' }, null]);
  expect(admin.stopped(10)).toEqual([{ id: head, method: 'PUT', origin: 'shop', path: '/1' }]);
  expect(admin.stopped(0)).toEqual([]);
});

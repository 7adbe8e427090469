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

it('of two operators who change one dead write only one succeeds', async () => {
  const { journal, fence, durableClock } = await open(new MemoryState());
  const number = numberOf(await journal.accept(offer('/1', 'x')));
  const begun = await journal.begin(number, 0);
  if (begun.kind !== 'begun') throw new Error(begun.kind);
  const record = { ...begun.record, state: 'dead' } as const;
  await journal.leave(number, { section: 'dead', record, timedHold: null, moreTags: [] });
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
  const admin = new JournalAdmin({
    journal,
    deliveries,
    log,
    clock,
    durableClock,
    moved: () => {},
    discarded: () => {},
    counts,
  });
  const actions = await Promise.all([admin.retry(record.id), admin.discard(record.id)]);
  expect(actions.map(({ kind }) => kind)).toEqual(['done', 'conflict']);
  expect([journal.counts.waiting, fence.holds]).toEqual([1, 1]);
  expect((await admin.discard(record.id)).kind).toBe('done');
  expect([journal.counts.waiting, fence.holds]).toEqual([0, 0]);
});

it('lists writes in the order of their acceptance, page by page, whatever has become of them', async () => {
  const { journal, durableClock } = await open(new MemoryState());
  const first = numberOf(await journal.accept(offer('/1', 'x')));
  const second = numberOf(await journal.accept(offer('/2', 'x')));
  const begun = await journal.begin(second, 0);
  if (begun.kind !== 'begun') throw new Error(begun.kind);
  const record = { ...begun.record, state: 'dead' } as const;
  await journal.leave(second, { section: 'dead', record, timedHold: null, moreTags: [] });
  const deliveries = {} as Deliveries;
  const admin = new JournalAdmin({
    journal,
    deliveries,
    log,
    clock,
    durableClock,
    moved: () => {},
    discarded: () => {},
    counts,
  });
  const [one] = admin.list(null, 1, null)!;
  const [two] = admin.list(null, 1, one!.id)!;
  expect([one!.id, two!.id].map(numberOfId)).toEqual([first, second]);
  expect(admin.list(null, 1, two!.id)).toEqual([]);
});

it('says which write the others of a URL wait for, and which URLs a dead one stops', async () => {
  const { journal, durableClock } = await open(new MemoryState());
  const first = numberOf(await journal.accept(offer('/1', 'x')));
  await journal.accept(offer('/1', 'y'));
  await journal.accept(offer('/2', 'z'));
  const deliveries = {} as Deliveries;
  const admin = new JournalAdmin({
    journal,
    deliveries,
    log,
    clock,
    durableClock,
    moved: () => {},
    discarded: () => {},
    counts,
  });
  const head = admin.list('waiting', 10, null)![0]!.id;
  const waitsFor = () => admin.list(null, 10, null)!.map((write) => write.waitsFor);
  expect(waitsFor()).toEqual([null, { id: head, state: 'waiting' }, null]);
  expect(admin.stopped(10)).toEqual([]);
  const begun = await journal.begin(first, 0);
  if (begun.kind !== 'begun') throw new Error(begun.kind);
  const record = { ...begun.record, state: 'dead' } as const;
  await journal.stopQueue(first, record);
  expect(waitsFor()).toEqual([null, { id: head, state: 'dead' }, null]);
  expect(admin.stopped(10)).toEqual([{ id: head, method: 'PUT', origin: 'shop', path: '/1' }]);
  expect(admin.stopped(0)).toEqual([]);
});

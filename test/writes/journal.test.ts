import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import type { TimedHold } from '../../proxy/writes/journal/hold-rows.ts';
import { decodeRecord, encodeRecord } from '../../proxy/writes/journal/record.ts';
import { numberKey } from '../../proxy/writes/journal/tables.ts';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from './offered.ts';
import { open } from './opened.ts';

const BLOCKING: TimedHold = {
  kind: 'timed',
  untilMs: clock.nowMs() + 60_000,
  maxMs: 60_000,
  blocks: true,
  shown: 0,
};

function recordKey(number: number): Buffer {
  return Buffer.concat([Buffer.from('w'), numberKey(number)]);
}

describe('the journal', () => {
  it('accepts and holds nothing that could not be synced, and continues when it can be', async () => {
    const state = new MemoryState();
    const { journal, fence } = await open(state);
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    expect(await journal.accept(offer('/1', 'lost'))).toEqual({ kind: 'not-durable' });
    expect(fence.holds).toBe(0);
    expect(journal.counts.waiting).toBe(0);
    state.beforeCommit = async () => {};
    expect((await journal.accept(offer('/1', 'kept'))).kind).toBe('accepted');
    const again = await open(state.crashed());
    expect(again.journal.counts.waiting).toBe(1);
    expect(again.isHeld('url:/1')).toBe(true);
  });

  it('acknowledges nothing before its commit is synced', async () => {
    const state = new MemoryState();
    const { journal } = await open(state);
    const synced = Promise.withResolvers<void>();
    state.beforeCommit = () => synced.promise;
    let isAccepted = false;
    const accepting = journal.accept(offer('/1', 'x')).then(() => {
      isAccepted = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isAccepted).toBe(false);
    synced.resolve();
    await accepting;
  });

  it('shares a sync between writes that arrive together', async () => {
    const state = new MemoryState();
    const { journal } = await open(state);
    const before = state.commits;
    const offers = Array.from({ length: 64 }, (_, i) => journal.accept(offer(`/${i}`, 'x')));
    await Promise.all(offers);
    expect(state.commits - before).toBeLessThanOrEqual(2);
  });

  it('holds after a crash what it held before, and counts the waiting writes', async () => {
    const state = new MemoryState();
    const first = await open(state);
    const numbers = [];
    for (const target of ['/1', '/1', '/2'])
      numbers.push(numberOf(await first.journal.accept(offer(target, 'x'))));
    const { journal, isHeld, fence } = await open(state.crashed());
    expect([isHeld('url:/1'), isHeld('url:/2'), isHeld('url:/3')]).toEqual([true, true, false]);
    for (const number of numbers) {
      const begun = await journal.begin(number, 1000);
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      const record = { ...begun.record, state: 'done' } as const;
      await journal.leave(number, { section: 'done', record, timedHold: null, moreTags: [] });
    }
    expect(fence.holds).toBe(0);
    expect(journal.counts).toMatchObject({ waiting: 0, done: 3, bytes: 0 });
  });

  it('treats an attempt that ran at a crash as one of unknown outcome', async () => {
    const state = new MemoryState();
    const first = await open(state);
    const number = numberOf(await first.journal.accept(offer('/1', 'x')));
    await first.journal.begin(number, 1000);
    const { journal } = await open(state.crashed());
    const begun = await journal.begin(number, 60_000);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    expect(begun.record).toMatchObject({ attempts: 2, wasUncertain: true });
    expect(begun.record.unknownUntilMs).toBeGreaterThan(clock.nowMs() + 50_000);
  });

  it('reads what an earlier version has written', () => {
    const record = {
      id: '1-9f86d081884c7d65',
      state: 'waiting',
      origin: 'shop',
      route: 'item',
      method: 'PUT',
      target: '/1',
      authority: 'weir',
      scheme: 'http',
      fields: ['Idempotency-Key', '"1-9f86d081884c7d65"'],
      idempotencyKey: '"1-9f86d081884c7d65"',
      clientKey: null,
      line: '0123456789abcdef0123456789abcdef',
      tags: ['url:/1'],
      order: 1,
      content: { bytes: 1, crc: 2363233923 },
      bytes: 1100,
      merges: false,
      acceptedAtMs: 1,
      dueAtMs: 1,
      attempts: 0,
      isAttempting: false,
      wasUncertain: false,
      unknownUntilMs: 0,
      lastError: null,
      endedAtMs: null,
      mergedInto: null,
    };
    const json = Buffer.from(JSON.stringify(record));
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32LE(crc32(json));
    const { line, ...rest } = record;
    const read = decodeRecord(Buffer.concat([checksum, json]));
    expect(read).toEqual({ kind: 'record', record: { ...rest, queue: line, status: null } });
    if (read.kind !== 'record') throw new Error(read.kind);
    const written = JSON.parse(encodeRecord(read.record).subarray(4).toString()) as object;
    expect(written).toEqual({ ...record, status: null });
  });

  it('never sends a damaged record or content', async () => {
    const state = new MemoryState();
    const { journal } = await open(state);
    const [one, two] = [
      await journal.accept(offer('/1', 'whole')),
      await journal.accept(offer('/2', 'whole')),
    ];
    await state.write(() => {
      journal.tables.putBody(numberOf(one), Buffer.from('who'));
      const key = recordKey(numberOf(two));
      state.table('writes').put(key, state.table('writes').get(key)!.subarray(0, 40));
    });
    expect((await journal.begin(numberOf(one), 0)).kind).toBe('damaged');
    expect((await journal.begin(numberOf(two), 0)).kind).toBe('unreadable');
  });

  it('stops the queue of an unreadable record until that is discarded', async () => {
    const state = new MemoryState();
    const { journal, fence, quarantined } = await open(state);
    const numbers = [];
    for (const body of ['x', 'y', 'z']) numbers.push(numberOf(await journal.accept(offer('/1', body))));
    const [one, two, three] = numbers as [number, number, number];
    await state.write(() => {
      for (const number of [one, two]) state.table('writes').put(recordKey(number), Buffer.from('torn'));
    });
    const due = (): number[] => Array.from(journal.tables.dues('shop', null), ({ number }) => number);
    const [row] = journal.tables.dues('shop', null);
    await journal.quarantine(row!);
    expect([due(), quarantined, journal.counts.dead]).toEqual([[], [one], 1]);
    expect(journal.tables.first(row!.queue)).toMatchObject({ number: one, isDead: true });
    // The next one can't be read either.
    expect(await journal.discardUnreadable(one)).toBe(row!.queue);
    expect([due(), quarantined, journal.counts]).toEqual([
      [],
      [one, two],
      expect.objectContaining({ waiting: 1, dead: 1 }),
    ]);
    await journal.discardUnreadable(two);
    expect(due()).toEqual([three]);
    expect(journal.counts).toMatchObject({ waiting: 1, dead: 0 });
    expect(fence.holds).toBe(1);
  });

  it('stops a queue after an attempt of unknown outcome before its next write can be seen', async () => {
    const state = new MemoryState();
    const { journal, queues } = await open(state);
    const number = numberOf(await journal.accept(offer('/1', 'x')));
    const next = numberOf(await journal.accept(offer('/1', 'y')));
    const begun = await journal.begin(number, 1000);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    const admitted: boolean[] = [];
    state.beforeCommit = async () => void admitted.push(queues.admitsJournal(record.queue, next));
    await journal.leave(number, { section: 'done', record, timedHold: BLOCKING, moreTags: [] });
    expect([...admitted, queues.admitsJournal(record.queue, next)]).toEqual([false, false]);
  });

  it('holds what an attempt of unknown outcome may change for as long as it may, also over a crash', async () => {
    const state = new MemoryState();
    const { journal, isHeld } = await open(state);
    const number = numberOf(await journal.accept(offer('/1', 'x')));
    const begun = await journal.begin(number, 1000);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    const moreTags = ['url:/made'];
    await journal.leave(number, { section: 'done', record, timedHold: BLOCKING, moreTags });
    expect([isHeld('url:/1'), isHeld('url:/made')]).toEqual([true, true]);
    const again = await open(state.crashed());
    expect([again.isHeld('url:/1'), again.isHeld('url:/made')]).toEqual([true, true]);
  });

  it('shows a delivered write from before its delivery can be seen', async () => {
    const state = new MemoryState();
    const { journal, timedHolds } = await open(state);
    const number = numberOf(await journal.accept(offer('/1', 'x')));
    const begun = await journal.begin(number, 1000);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    const shown: (number | null)[] = [];
    state.beforeCommit = async () => void shown.push(timedHolds.shownOf(record.queue));
    const lasting = { ...BLOCKING, blocks: false, shown: number };
    await journal.leave(number, { section: 'done', record, timedHold: lasting, moreTags: [] });
    expect([...shown, timedHolds.shownOf(record.queue)]).toEqual([number, number]);
  });

  it('no longer shows a delivered write after a later one of the queue was delivered', async () => {
    const state = new MemoryState();
    const { journal, timedHolds } = await open(state);
    const [one, two] = [
      numberOf(await journal.accept(offer('/1', 'x'))),
      numberOf(await journal.accept(offer('/1', 'y', { method: 'PATCH' }))),
    ];
    const { queue } = offer('/1', '');
    const deliver = async (number: number, how: TimedHold | null) => {
      const begun = await journal.begin(number, 1000);
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      const record = { ...begun.record, state: 'done' } as const;
      await journal.leave(number, { section: 'done', record, timedHold: how, moreTags: [] });
    };
    await deliver(one, { ...BLOCKING, blocks: false, shown: one });
    expect(timedHolds.shownOf(queue)).toBe(one);
    await deliver(two, null);
    expect(timedHolds.shownOf(queue)).toBe(null);
    expect((await open(state.crashed())).timedHolds.shownOf(queue)).toBe(null);
  });

  it('no longer shows it after a restart, even if storing that failed at first', async () => {
    const state = new MemoryState();
    const { journal, timedHolds } = await open(state);
    const { queue } = offer('/1', '');
    const leave = async (number: number, how: TimedHold | null): Promise<unknown> => {
      const read = journal.tables.record('waiting', number);
      if (read?.kind !== 'record') throw new Error('gone');
      const record = { ...read.record, state: 'done' } as const;
      return journal.leave(number, { section: 'done', record, timedHold: how, moreTags: [] });
    };
    const one = numberOf(await journal.accept(offer('/1', 'x')));
    const two = numberOf(await journal.accept(offer('/1', 'y', { method: 'PATCH' })));
    await leave(one, { ...BLOCKING, blocks: false, shown: one });
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    await expect(leave(two, null)).rejects.toThrow();
    state.beforeCommit = async () => {};
    await leave(two, null);
    expect([timedHolds.shownOf(queue), journal.tables.body(one)]).toEqual([null, undefined]);
    expect((await open(state.crashed())).timedHolds.shownOf(queue)).toBe(null);
  });

  it('keeps the hold of a discarded write while another was merged into it', async () => {
    const { journal, isHeld, fence } = await open(new MemoryState());
    const put = (body: string) => journal.accept(offer('/1', body, { merges: true }));
    const one = numberOf(await put('one'));
    const read = journal.tables.record('waiting', one);
    if (read?.kind !== 'record') throw new Error('gone');
    const merging = put('two');
    const leaving = { section: 'gone', record: read.record, timedHold: null, moreTags: [] } as const;
    expect(await journal.leave(one, leaving)).toBe(false);
    expect(await merging).toMatchObject({ kind: 'accepted', merged: read.record.id });
    expect([isHeld('url:/1'), fence.holds, journal.counts.waiting]).toEqual([true, 1, 1]);
  });

  it('is full at its limit, and accepts more after a delivery', async () => {
    const { journal } = await open(new MemoryState(), 5000);
    const accepted = [];
    for (let i = 0; i < 3; i += 1) accepted.push(await journal.accept(offer(`/${i}`, 'x'.repeat(1000))));
    expect(accepted.map(({ kind }) => kind)).toEqual(['accepted', 'accepted', 'full']);
    const number = numberOf(accepted[0]!);
    const begun = await journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    await journal.leave(number, { section: 'done', record, timedHold: null, moreTags: [] });
    expect((await journal.accept(offer('/3', 'x'.repeat(1000)))).kind).toBe('accepted');
  });

  it('does not merge writes with different credentials, which the origin may reject', async () => {
    const { journal } = await open(new MemoryState());
    const put = (body: string, token: string) =>
      journal.accept(offer('/1', body, { merges: true, fields: ['Authorization', token] }));
    const accepted = [await put('one', 'a'), await put('two', 'a'), await put('three', 'b')];
    expect(accepted.map((each) => (each.kind === 'accepted' ? each.merged !== null : each.kind))).toEqual([
      false,
      true,
      false,
    ]);
    expect(journal.counts.waiting).toBe(2);
  });

  it('sends one Idempotency-Key, also where the client sent an empty one', async () => {
    const { journal } = await open(new MemoryState());
    const fields = ['Idempotency-Key', '', 'Content-Type', 'a/b'];
    const number = numberOf(await journal.accept(offer('/1', 'x', { fields })));
    const begun = await journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const { id } = begun.record;
    expect(begun.record.fields).toEqual(['Content-Type', 'a/b', 'Idempotency-Key', `"${id}"`]);
  });

  it('deletes delivered writes beyond its limit, with their keys', async () => {
    const { journal } = await open(new MemoryState());
    for (let i = 0; i < 6; i += 1) {
      const clientKey = { scoped: `key-${i}`, digest: 'd' };
      const number = numberOf(
        await journal.accept(offer(`/${i}`, 'x', { idempotencyKey: `"${i}"`, clientKey })),
      );
      const begun = await journal.begin(number, 0);
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      const record = { ...begun.record, state: 'done' } as const;
      await journal.leave(number, { section: 'done', record, timedHold: null, moreTags: [] });
    }
    expect(journal.counts.done).toBe(3);
    expect([journal.tables.keyed('key-0'), journal.tables.keyed('key-5')]).toEqual([
      null,
      expect.objectContaining({ digest: 'd' }),
    ]);
  });

  it('deletes first those that were delivered first, whenever they were accepted', async () => {
    const { journal } = await open(new MemoryState());
    const numbers = [];
    for (let i = 0; i < 5; i += 1) {
      const clientKey = { scoped: `key-${i}`, digest: 'd' };
      numbers.push(numberOf(await journal.accept(offer(`/${i}`, 'x', { clientKey }))));
    }
    for (const number of [...numbers.slice(1), numbers[0]!]) {
      const begun = await journal.begin(number, 0);
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      const record = { ...begun.record, state: 'done' } as const;
      await journal.leave(number, { section: 'done', record, timedHold: null, moreTags: [] });
    }
    const isKnown = numbers.map((_, i) => journal.tables.keyed(`key-${i}`) !== null);
    expect(isKnown).toEqual([true, false, false, true, true]);
    expect(journal.counts.done).toBe(3);
  });
});

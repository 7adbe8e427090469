import { afterEach, describe, expect, it } from 'vitest';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { hashTags } from '../../proxy/fence/tag-hash.ts';
import { createLog } from '../../proxy/log/logger.ts';
import type { Lingering } from '../../proxy/writes/hold-rows.ts';
import { Journal, type Acceptance, type OfferedWrite } from '../../proxy/writes/journal.ts';
import { lineKeyOf } from '../../proxy/writes/line.ts';
import { LingeringHolds } from '../../proxy/writes/lingering-holds.ts';
import { Lines } from '../../proxy/writes/lines.ts';
import { ThroughDesk } from '../../proxy/writes/through-desk.ts';
import { systemClock as clock } from '../../proxy/clock.ts';
import { MemoryState } from '../support/memory-state.ts';

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });
const opened: LingeringHolds[] = [];

afterEach(() => {
  for (const lingering of opened.splice(0)) lingering.close();
});

async function open(state: MemoryState, sizeBytes = 2 ** 20) {
  const fence = await Fence.open(1000, { state, clock });
  const lines: Lines = new Lines(
    {
      first: (line) => journal.tables.first(line)?.order ?? null,
      last: (line) => journal.tables.last(line)?.order ?? null,
    },
    () => {},
  );
  const lingering = new LingeringHolds({ state, fence, clock, log, lines: () => lines });
  opened.push(lingering);
  const journal: Journal = new Journal({
    state,
    fence,
    clock,
    lingering,
    limits: () => ({ sizeBytes, done: 3 }),
    hasWaitingBehind: (line) => lines.hasWaiting(line),
  });
  journal.restoreHolds();
  await lingering.restore();
  const desk = new ThroughDesk({ state, fence, lines, lingering, clock, log });
  const reader = new FenceReader(new SharedWords(fence.buffer));
  return { fence, journal, lines, lingering, desk, isHeld: (tag: string) => reader.isHeld(hashTags([tag])) };
}

function offer(target: string, body: string, more: Partial<OfferedWrite> = {}): OfferedWrite {
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

const BLOCKING: Lingering = {
  kind: 'lingering',
  untilMs: clock.nowMs() + 60_000,
  maxMs: 60_000,
  blocks: true,
  shown: 0,
};

function numberOf(acceptance: Acceptance): number {
  if (acceptance.kind !== 'accepted') throw new Error(acceptance.kind);
  return acceptance.number;
}

describe('the journal', () => {
  it('accepts nothing that could not be synced, holds nothing for it, and goes on when it can be', async () => {
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

  it('holds again after a crash what it held before, and counts what waits', async () => {
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
      await journal.leave(number, { shelf: 'done', record, lingering: null, moreTags: [] });
    }
    expect(fence.holds).toBe(0);
    expect(journal.counts).toMatchObject({ waiting: 0, done: 3, bytes: 0 });
  });

  it('takes an attempt that was under way at a crash for one of unknown outcome', async () => {
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

  it('never sends content or a record that was torn', async () => {
    const state = new MemoryState();
    const { journal } = await open(state);
    const [one, two] = [
      await journal.accept(offer('/1', 'whole')),
      await journal.accept(offer('/2', 'whole')),
    ];
    await state.write(() => {
      journal.tables.putBody(numberOf(one), Buffer.from('who'));
      const key = Buffer.alloc(9);
      key.write('w');
      key.writeBigUInt64BE(BigInt(numberOf(two)), 1);
      state.table('writes').put(key, state.table('writes').get(key)!.subarray(0, 40));
    });
    expect((await journal.begin(numberOf(one), 0)).kind).toBe('damaged');
    expect((await journal.begin(numberOf(two), 0)).kind).toBe('damaged');
  });

  it('stops the line of an attempt of unknown outcome before the next of it can be seen', async () => {
    const state = new MemoryState();
    const { journal, lines } = await open(state);
    const number = numberOf(await journal.accept(offer('/1', 'x')));
    const next = numberOf(await journal.accept(offer('/1', 'y')));
    const begun = await journal.begin(number, 1000);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    const admitted: boolean[] = [];
    state.beforeCommit = async () => void admitted.push(lines.admitsJournal(record.line, next));
    await journal.leave(number, { shelf: 'done', record, lingering: BLOCKING, moreTags: [] });
    expect([...admitted, lines.admitsJournal(record.line, next)]).toEqual([false, false]);
  });

  it('shows a delivered write no more when a later one of the line was delivered', async () => {
    const state = new MemoryState();
    const { journal, lingering } = await open(state);
    const [one, two] = [
      numberOf(await journal.accept(offer('/1', 'x'))),
      numberOf(await journal.accept(offer('/1', 'y', { method: 'PATCH' }))),
    ];
    const { line } = offer('/1', '');
    const deliver = async (number: number, how: Lingering | null) => {
      const begun = await journal.begin(number, 1000);
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      const record = { ...begun.record, state: 'done' } as const;
      await journal.leave(number, { shelf: 'done', record, lingering: how, moreTags: [] });
    };
    await deliver(one, { ...BLOCKING, blocks: false, shown: one });
    expect(lingering.shownOf(line)).toBe(one);
    await deliver(two, null);
    expect(lingering.shownOf(line)).toBe(null);
    expect((await open(state.crashed())).lingering.shownOf(line)).toBe(null);
  });

  it('is full at its limit, and takes more when something was delivered', async () => {
    const { journal } = await open(new MemoryState(), 5000);
    const accepted = [];
    for (let i = 0; i < 3; i += 1) accepted.push(await journal.accept(offer(`/${i}`, 'x'.repeat(1000))));
    expect(accepted.map(({ kind }) => kind)).toEqual(['accepted', 'accepted', 'full']);
    const number = numberOf(accepted[0]!);
    const begun = await journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    await journal.leave(number, { shelf: 'done', record, lingering: null, moreTags: [] });
    expect((await journal.accept(offer('/3', 'x'.repeat(1000)))).kind).toBe('accepted');
  });

  it('forgets delivered writes beyond its bound, with their keys', async () => {
    const { journal } = await open(new MemoryState());
    for (let i = 0; i < 6; i += 1) {
      const clientKey = { scoped: `key-${i}`, digest: 'd' };
      const number = numberOf(
        await journal.accept(offer(`/${i}`, 'x', { idempotencyKey: `"${i}"`, clientKey })),
      );
      const begun = await journal.begin(number, 0);
      if (begun.kind !== 'begun') throw new Error(begun.kind);
      const record = { ...begun.record, state: 'done' } as const;
      await journal.leave(number, { shelf: 'done', record, lingering: null, moreTags: [] });
    }
    expect(journal.counts.done).toBe(3);
    expect([journal.tables.keyed('key-0'), journal.tables.keyed('key-5')]).toEqual([
      null,
      expect.objectContaining({ digest: 'd' }),
    ]);
  });
});

describe('writes through', () => {
  const REQUEST = {
    line: { origin: 'shop', authority: null, target: '/1' },
    tags: ['url:/1'],
    waitMs: 60_000,
    waiting: 10,
    maxProcessingMs: 60_000,
  };

  it('are not begun where their hold can not be written down', async () => {
    const state = new MemoryState();
    const { desk, fence } = await open(state);
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    expect(await desk.admit(1, { ...REQUEST, ticket: 1 })).toEqual({ kind: 'not-durable' });
    expect(fence.holds).toBe(0);
  });

  it('of a worker that died, or of a process that was killed, go on being held', async () => {
    const state = new MemoryState();
    const { desk, isHeld, lingering, lines } = await open(state);
    const line = lineKeyOf(REQUEST.line);
    expect((await desk.admit(1, { ...REQUEST, ticket: 1 })).kind).toBe('admitted');
    desk.workerDied(1);
    await expect.poll(() => lingering.size).toBe(1);
    expect(isHeld('url:/1')).toBe(true);
    expect(lines.admitsJournal(line, 1)).toBe(false);
    expect((await desk.admit(2, { ...REQUEST, ticket: 1 })).kind).toBe('admitted');
    const after = await open(state.crashed());
    expect(after.lingering.size).toBe(2);
    expect(after.isHeld('url:/1')).toBe(true);
    expect(after.lines.admitsJournal(line, 1)).toBe(false);
  });

  it('of a worker that died while its hold was written down are not begun, and hold nothing', async () => {
    const state = new MemoryState();
    const { desk, fence, lines } = await open(state);
    const synced = Promise.withResolvers<void>();
    state.beforeCommit = () => synced.promise;
    const admission = desk.admit(1, { ...REQUEST, ticket: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    desk.workerDied(1);
    synced.resolve();
    await admission;
    expect(desk.running).toBe(0);
    expect(fence.holds).toBe(0);
    expect(lines.admitsJournal(lineKeyOf(REQUEST.line), 1)).toBe(true);
    expect((await open(state.crashed())).fence.holds).toBe(0);
  });

  it('stay held where their end can not be written down, and invalid at once', async () => {
    const state = new MemoryState();
    const { desk, isHeld, fence } = await open(state);
    const admission = await desk.admit(1, { ...REQUEST, ticket: 1 });
    if (admission.kind !== 'admitted') throw new Error(admission.kind);
    const before = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    await desk.settle({ hold: admission.hold, outcome: 'applied', moreTags: [], entryTags: null });
    expect(fence.touchedSince(hashTags(['url:/1']), before)).toBe(true);
    expect(isHeld('url:/1')).toBe(true);
  });

  it('wait behind the journal in the order of their coming, in bounded number and for a bounded time', async () => {
    const state = new MemoryState();
    const { desk, journal, lines } = await open(state);
    const number = numberOf(await journal.accept(offer('/1', 'x')));
    const one = desk.admit(1, { ...REQUEST, ticket: 1, waiting: 1 });
    expect(await desk.admit(1, { ...REQUEST, ticket: 2, waiting: 1 })).toEqual({ kind: 'busy' });
    const later = numberOf(await journal.accept(offer('/1', 'y')));
    const line = lineKeyOf(REQUEST.line);
    expect([lines.admitsJournal(line, number), lines.admitsJournal(line, later)]).toEqual([true, false]);
    const begun = await journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    await journal.leave(number, { shelf: 'done', record, lingering: null, moreTags: [] });
    lines.journalMoved(line);
    const admission = await one;
    expect(admission.kind).toBe('admitted');
    expect(lines.admitsJournal(line, later)).toBe(false);
    if (admission.kind !== 'admitted') return;
    await desk.settle({ hold: admission.hold, outcome: 'applied', moreTags: [], entryTags: null });
    expect(lines.admitsJournal(line, later)).toBe(true);
    expect(await desk.admit(1, { ...REQUEST, ticket: 3, waitMs: 1 })).toEqual({ kind: 'busy' });
  });
});

describe('holds', () => {
  it('are counted, and more than a bucket has room for hold all of it', async () => {
    const { fence, isHeld } = await open(new MemoryState());
    const tags = hashTags(Array.from({ length: 5000 }, (_, i) => `tag:${i}`));
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

import { describe, expect, it } from 'vitest';
import { NotDurableError } from '../../proxy/fence/fence-state.ts';
import { Fence, SLICE_TAGS } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';
import { gate, settle } from '../support/barrier.ts';
import { MemoryState } from '../support/memory-state.ts';
import { entryOf, setClock } from './given.ts';

const RECORDS = 7;

async function open(
  state: MemoryState,
  options: Partial<Parameters<typeof Fence.open>[1]> = {},
  records = RECORDS,
) {
  const fence = await Fence.open(records, { state, clock: setClock(), ...options });
  return { fence, ...handsOn(fence) };
}

function handsOn(fence: Fence) {
  const reader = new FenceReader(new SharedWords(fence.buffer), setClock());
  return {
    reader,
    hard: async (...tags: string[]) => (await fence.invalidate({ tags, mode: 'hard' })).sequence,
    verdict: (tag: string, floor: number) => reader.verdict(entryOf([tag], floor, {}, reader.hasher)).kind,
  };
}

const without = (name: keyof Mechanisms): Mechanisms => ({ ...ALL_MECHANISMS, [name]: false });

describe('an invalidation', () => {
  it('is in force at once, and answered when it is durable', async () => {
    const state = new MemoryState();
    const { fence, verdict } = await open(state);
    const floor = fence.sequence;
    const sync = gate();
    state.beforeCommit = () => sync.promise;
    let answered = false;
    const answer = fence.invalidate({ tags: ['a'], mode: 'hard' }).then(() => (answered = true));
    await settle();
    expect(verdict('a', floor)).toBe('hard');
    expect(answered).toBe(false);
    expect(fence.durableSequence).toBeLessThan(fence.sequence);
    sync.open();
    await answer;
    expect(fence.durableSequence).toBe(fence.sequence);
  });

  it('survives a crash once it was answered', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state);
    const floor = fence.sequence;
    await hard('a');
    const again = await open(state.crashed());
    expect(again.verdict('a', floor)).toBe('hard');
    expect(again.verdict('b', floor)).toBe('clear');
  });

  it('would be lost by a crash if it were answered before', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state, { mechanisms: without('durableBeforeAnswer') });
    const floor = fence.sequence;
    state.beforeCommit = () => new Promise(() => {});
    await hard('a');
    expect((await open(state.crashed())).verdict('a', floor)).toBe('clear');
  });

  it('makes the change of `also` durable in the same transaction, or neither', async () => {
    const state = new MemoryState();
    const { fence } = await open(state);
    const also = (): void => state.table('positions').put('feed', Buffer.from('7'));
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    await expect(fence.invalidate({ tags: ['a'], mode: 'hard', also })).rejects.toThrow(NotDurableError);
    expect(state.table('positions').get('feed')).toBeUndefined();
    state.beforeCommit = async () => {};
    await fence.invalidate({ tags: ['a'], mode: 'hard', also });
    expect(state.table('positions').get('feed')?.toString()).toBe('7');
  });

  it('calls `onDurable` with its sequence before it is answered', async () => {
    const noted: number[] = [];
    const { hard } = await open(new MemoryState(), { onDurable: (sequence) => noted.push(sequence) });
    const sequence = await hard('a');
    expect(noted.at(-1)).toBe(sequence);
  });
});

describe('an invalidation of every entry with a tag except one', () => {
  const entryIn = (fence: Fence) => (floor: number) => ({ tags: fence.hasher.hash(['url', 'a']), floor });

  it('raises the floor of that entry to its sequence, and reaches all others', async () => {
    const { fence, hard, verdict } = await open(new MemoryState());
    const before = await hard('elsewhere');
    const { floor } = await fence.invalidateBut('url', entryIn(fence)(before));
    expect(floor).toBe(fence.sequence);
    expect(verdict('url', before)).toBe('hard');
    expect(verdict('url', floor)).toBe('clear');
  });

  it('leaves the floor where a tag of that entry was invalidated meanwhile', async () => {
    const { fence, hard, verdict } = await open(new MemoryState());
    const before = fence.sequence;
    await hard('a');
    const { floor } = await fence.invalidateBut('url', entryIn(fence)(before));
    expect(floor).toBe(before);
    expect(verdict('a', floor)).toBe('hard');
  });

  it("is in force though the state can't be written", async () => {
    const state = new MemoryState();
    const { fence, verdict } = await open(state);
    const before = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    await expect(fence.invalidateBut('url', entryIn(fence)(before))).rejects.toThrow(NotDurableError);
    expect(verdict('url', before)).toBe('hard');
  });
});

it('an invalidation reports whether another one has invalidated an entry since the entry was fetched', async () => {
  const { fence, hard } = await open(new MemoryState());
  const entry = { tags: fence.hasher.hash(['url', 'a']), floor: fence.sequence };
  const own = { tags: ['url'], mode: 'hard' as const, entry };
  await hard('elsewhere');
  expect(await fence.invalidate(own)).toEqual({ sequence: fence.sequence, tags: 1, isTouched: false });
  await hard('a');
  expect(await fence.invalidate(own)).toMatchObject({ isTouched: true });
});

describe("a state that can't be written", () => {
  it('rejects the invalidation, which is in force all the same', async () => {
    const state = new MemoryState();
    const { fence, verdict } = await open(state);
    const floor = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    await expect(fence.invalidate({ tags: ['a'], mode: 'hard' })).rejects.toMatchObject({
      code: 'WEIR_NOT_DURABLE',
    });
    expect(verdict('a', floor)).toBe('hard');
    expect(fence.failures).toBe(1);
  });

  it('loses nothing: the next write catches up, with the records that were overwritten', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state);
    const floor = fence.sequence;
    for (const tag of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) await hard(tag);
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    await expect(hard('h')).rejects.toThrow(NotDurableError);
    state.beforeCommit = async () => {};
    await hard('h');
    const again = await open(state.crashed());
    expect(again.verdict('a', floor)).toBe('hard');
    expect(again.verdict('h', floor)).toBe('hard');
  });

  it('costs the next write only the records that changed, however often they were invalidated', async () => {
    const state = new MemoryState();
    const tableOf = state.table.bind(state);
    let written = 0;
    state.table = (name) => {
      const table = tableOf(name);
      if (name !== 'records') return table;
      return { ...table, put: (key, value) => void ((written += 1), table.put(key, value)) };
    };
    const { fence, hard } = await open(state);
    const floor = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    for (let i = 0; i < 50; i += 1) await expect(hard('a', 'b')).rejects.toThrow(NotDurableError);
    state.beforeCommit = async () => {};
    written = 0;
    const last = await hard('c');
    expect(written).toBe(3);
    const again = await open(state.crashed());
    expect(again.verdict('a', last - 2)).toBe('hard');
    expect(again.verdict('b', floor)).toBe('hard');
    expect(again.verdict('a', last)).toBe('clear');
  });

  it('fails the opening of the fence', async () => {
    const state = new MemoryState();
    state.beforeCommit = () => Promise.reject(new Error('read-only file system'));
    await expect(open(state)).rejects.toThrow('read-only');
  });
});

describe('sequences', () => {
  it('resume above every sequence that was used, durable or not', async () => {
    const state = new MemoryState();
    const { fence } = await open(state);
    state.beforeCommit = () => new Promise(() => {});
    void fence.invalidate({ tags: ['a'], mode: 'hard' }).catch(() => {});
    await settle();
    const floorOfAnEntry = fence.sequence;
    const again = await open(state.crashed());
    expect(await again.hard('b')).toBeGreaterThan(floorOfAnEntry);
    expect(again.verdict('b', floorOfAnEntry)).toBe('hard');
  });

  it('would be used twice without reserved blocks, and an old entry would survive a purge', async () => {
    const mechanisms = without('reservedBlocks');
    const state = new MemoryState();
    const { fence } = await open(state, { mechanisms });
    state.beforeCommit = () => new Promise(() => {});
    void fence.invalidate({ tags: ['a'], mode: 'hard' }).catch(() => {});
    await settle();
    const floorOfAnEntry = fence.sequence;
    const again = await open(state.crashed(), { mechanisms });
    await again.hard('b');
    expect(again.verdict('b', floorOfAnEntry)).toBe('clear');
  });

  it('are not used beyond the reserved block', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state, { block: 10 });
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    for (let i = 0; i < 10; i += 1) await expect(hard('a')).rejects.toThrow(NotDurableError);
    const last = fence.sequence;
    await expect(hard('a')).rejects.toThrow(NotDurableError);
    expect(fence.sequence).toBe(last);
    expect((await open(state.crashed())).fence.sequence).toBeGreaterThanOrEqual(last);
  });
});

describe('a table that is opened again', () => {
  it('distinguishes hard from soft invalidations, also in an overflow', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state);
    const floor = fence.sequence;
    await fence.invalidate({ tags: ['soft'], mode: 'soft' });
    for (const tag of ['b', 'c', 'd', 'e', 'f', 'g']) await hard(tag);
    const same = await open(state.crashed());
    expect(same.verdict('soft', floor)).toBe('soft');
    expect(same.verdict('b', floor)).toBe('hard');
    expect(same.verdict('never', floor)).toBe('clear');
    await same.hard('h');
    const full = await open(state.copy());
    expect(full.verdict('soft', floor)).toBe('soft');
  });

  it.each([7, 70, 700])('keeps every invalidation in a table of %i records', async (records) => {
    const state = new MemoryState();
    const first = await open(state);
    const floor = first.fence.sequence;
    const tags = Array.from({ length: 20 }, (_, i) => `t${i}`);
    for (const tag of tags) await first.hard(tag);
    let from = state;
    for (const size of [records, 14, records]) {
      from = from.crashed();
      const fence = await Fence.open(size, { state: from, clock: setClock() });
      const { verdict, hard } = handsOn(fence);
      expect(tags.filter((tag) => verdict(tag, floor) !== 'hard')).toEqual([]);
      expect(verdict('never', fence.sequence)).toBe('clear');
      tags.push(`after ${size} ${tags.length}`);
      await hard(tags.at(-1)!);
    }
    const { verdict } = handsOn(await Fence.open(records, { state: from.crashed(), clock: setClock() }));
    expect(tags.filter((tag) => verdict(tag, floor) !== 'hard')).toEqual([]);
  });

  it('does not date a soft invalidation of an earlier run to the restart', async () => {
    const state = new MemoryState();
    const clock = setClock();
    const { fence } = await open(state, { clock });
    const floor = fence.sequence;
    const requestTimeMs = clock.nowMs();
    clock.now += 60_000;
    await fence.invalidate({ tags: ['a'], mode: 'soft' });
    clock.now += 3_600_000;
    const { fence: after } = await open(state.crashed(), { clock });
    clock.now += 1_000;
    const reader = new FenceReader(new SharedWords(after.buffer), clock);
    const verdict = reader.verdict(entryOf(['a'], floor, { requestTimeMs }, reader.hasher));
    expect(verdict).toEqual({ kind: 'soft', invalidatedAtMs: requestTimeMs });
  });

  it('keeps the base of an era, below which every floor stays invalid', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state, { wordLimit: 20 });
    const floor = fence.sequence;
    await hard('a');
    for (let i = 0; i < 40; i += 1) await hard(`other ${i % 8}`);
    const again = await open(state.crashed());
    expect(again.verdict('a', floor)).toBe('hard');
  });

  it('dates the last invalidation of a tag with a record to the restart, and of no other tag', async () => {
    const state = new MemoryState();
    const { hard } = await open(state);
    await hard('a');
    const clock = setClock(2_000_000_000_000);
    const { reader } = await open(state.crashed(), { clock });
    expect(reader.lastInvalidatedAtMs(reader.hasher.hash(['a']))).toBe(clock.now);
    expect(reader.lastInvalidatedAtMs(reader.hasher.hash(['b']))).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('an invalidation of more tags than one turn of the loop takes', () => {
  const tags = Array.from({ length: 2 * SLICE_TAGS + 1 }, (_, i) => `tag ${i}`);
  const [first, last] = [tags[0]!, tags.at(-1)!];

  it('lets other invalidations run, and no reader sees only a part of it', async () => {
    const state = new MemoryState();
    const { fence, reader, hard } = await open(state, {}, 1_000_000);
    const seen = (tag: string, floor: number): string =>
      reader.verdict(entryOf([tag, 'scope'], floor, {}, reader.hasher)).kind;
    const floor = fence.sequence;
    const answer = fence.invalidate({ tags, mode: 'hard', under: ['scope'] });
    const between = hard('between');
    const turns: string[] = [];
    while (seen('untouched', floor) === 'hard') {
      turns.push(`${seen(first, floor)} ${seen(last, floor)}`);
      await settle(1);
    }
    expect(new Set(turns)).toEqual(new Set(['hard hard']));
    expect(turns.length).toBeGreaterThan(2);
    expect([seen(first, floor), seen(last, floor)]).toEqual(['hard', 'hard']);
    const { sequence } = await answer;
    expect(await between).toBeLessThan(sequence);
    expect(seen(last, sequence)).toBe('clear');
  });

  it('writes no record over a newer one that was written meanwhile', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state, {}, 1_000_000);
    const sync = gate();
    state.beforeCommit = () => sync.promise;
    const answer = fence.invalidate({ tags, mode: 'hard' });
    await settle();
    const purged = hard(last);
    sync.open();
    await answer;
    const later = await purged;
    expect(later).toBe(fence.sequence);
    const again = await open(state.crashed(), {}, 1_000_000);
    expect(again.verdict(last, later - 1)).toBe('hard');
    expect(again.verdict(last, later)).toBe('clear');
    expect(again.fence.durableSequence).toBe(fence.sequence);
  });

  it('makes the change of `also` durable with its last slice, also where an earlier slice failed', async () => {
    const state = new MemoryState();
    const { fence } = await open(state, {}, 1_000_000);
    const floor = fence.sequence;
    const also = (): void => state.table('positions').put('feed', Buffer.from('7'));
    const found: (string | undefined)[] = [];
    state.beforeCommit = () => {
      found.push(state.copy().table('positions').get('feed')?.toString());
      return found.length === 2 ? Promise.reject(new Error('no space left')) : Promise.resolve();
    };
    await fence.invalidate({ tags, mode: 'hard', also });
    expect(found).toEqual([undefined, undefined, undefined]);
    const after = state.crashed();
    expect(after.table('positions').get('feed')?.toString()).toBe('7');
    const { verdict } = await open(after, {}, 1_000_000);
    expect([first, tags[SLICE_TAGS]!, last].map((tag) => verdict(tag, floor))).toEqual([
      'hard',
      'hard',
      'hard',
    ]);
  });

  it('uses no sequence beyond the reserved block, for itself or for others', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state, { block: 10 }, 1_000_000);
    const reserved = fence.sequence + 10;
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    const answer = fence.invalidate({ tags, mode: 'hard' });
    const between = Array.from({ length: 20 }, () => hard('between'));
    expect((await Promise.allSettled([answer, ...between])).map(({ status }) => status)).not.toContain(
      'fulfilled',
    );
    expect(fence.sequence).toBe(reserved);
  });

  it("rejects and releases its hold where its last slice can't be written", async () => {
    const state = new MemoryState();
    const { fence, verdict } = await open(state, {}, 1_000_000);
    const floor = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    const answer = fence.invalidate({ tags, mode: 'hard', under: ['scope'] });
    await expect(answer).rejects.toThrow(NotDurableError);
    expect([first, last, 'scope'].map((tag) => verdict(tag, floor))).toEqual(['hard', 'hard', 'clear']);
  });
});

describe('an invalidation not yet seen by a feed', () => {
  const notYetSeenAtMs = (reader: FenceReader, tag: string, feed = 'attested'): number =>
    reader.lastInvalidatedAtMs(reader.hasher.hashNotYetSeen(reader.hasher.hash([tag]), feed));

  it('is recorded apart from those by the feed itself, where the feed is attested', async () => {
    const state = new MemoryState();
    const clock = setClock();
    const { fence } = await open(state, { clock, attested: () => ['attested'] }, 700);
    const reader = new FenceReader(new SharedWords(fence.buffer), clock);
    const notYetSeenAt = (tag: string): number => notYetSeenAtMs(reader, tag);
    await fence.invalidate({ tags: ['purged'], mode: 'soft' });
    await fence.hold(fence.hasher.hash(['written']), () => {});
    clock.now += 100;
    await fence.release(fence.hasher.hash(['written']), ['named'], () => {});
    await fence.invalidate({ tags: ['purged', 'byFeed'], mode: 'hard', by: 'attested' });
    await fence.invalidate({ tags: ['elsewhere'], mode: 'hard', by: 'other' });
    expect(['purged', 'written', 'named', 'byFeed', 'elsewhere'].map(notYetSeenAt)).toEqual([
      clock.now - 100,
      clock.now,
      clock.now,
      Number.NEGATIVE_INFINITY,
      clock.now,
    ]);
    const { reader: later } = await open(state.crashed(), {}, 700);
    expect(notYetSeenAtMs(later, 'purged')).toBe(setClock().now);
  });

  it('is recorded for each attested feed except the one that made it', async () => {
    const { fence, reader } = await open(new MemoryState(), { attested: () => ['a', 'b'] }, 700);
    await fence.invalidate({ tags: ['tag'], mode: 'hard', by: 'a' });
    expect(notYetSeenAtMs(reader, 'tag', 'a')).toBe(Number.NEGATIVE_INFINITY);
    expect(notYetSeenAtMs(reader, 'tag', 'b')).toBeGreaterThan(0);
  });

  it('is not recorded where no feed is attested', async () => {
    const { fence, reader, hard } = await open(new MemoryState());
    await hard('a');
    expect(notYetSeenAtMs(reader, 'a')).toBe(Number.NEGATIVE_INFINITY);
    expect(fence.sequence).toBe(1);
  });
});

describe('a hold', () => {
  it('is in force until it is released, and the release invalidates its tags', async () => {
    const { fence, verdict } = await open(new MemoryState());
    const tags = fence.hasher.hash(['a']);
    const { sequence } = await fence.hold(tags, () => {});
    expect(verdict('a', fence.sequence)).toBe('hard');
    const released = await fence.release(tags, ['b'], () => {});
    expect(verdict('a', sequence)).toBe('hard');
    expect(verdict('b', sequence)).toBe('hard');
    expect(verdict('a', released.sequence)).toBe('clear');
  });

  it("stays in force while its release can't be written", async () => {
    const state = new MemoryState();
    const { fence, verdict } = await open(state);
    const tags = fence.hasher.hash(['a']);
    await fence.hold(tags, () => {});
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    await expect(fence.release(tags, [], () => {})).rejects.toThrow(NotDurableError);
    expect(verdict('a', fence.sequence)).toBe('hard');
  });
});

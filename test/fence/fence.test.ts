import { describe, expect, it } from 'vitest';
import { Fence, NotDurableError } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { hashTags } from '../../proxy/fence/tag-hash.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';
import { gate, settle } from '../support/barrier.ts';
import { MemoryState } from '../support/memory-state.ts';
import { entryOf, setClock } from './given.ts';

const RECORDS = 7;

async function open(state: MemoryState, options: Partial<Parameters<typeof Fence.open>[1]> = {}) {
  const fence = await Fence.open(RECORDS, { state, clock: setClock(), ...options });
  return { fence, ...handsOn(fence) };
}

function handsOn(fence: Fence) {
  const reader = new FenceReader(new SharedWords(fence.buffer));
  return {
    reader,
    hard: async (...tags: string[]) => (await fence.invalidate({ tags, mode: 'hard' })).sequence,
    verdict: (tag: string, floor: number) => reader.verdict(entryOf([tag], floor)).kind,
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

  it('makes what comes along durable in the same transaction, or neither', async () => {
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

  it('is told to the high-water mark before it is answered', async () => {
    const noted: number[] = [];
    const { hard } = await open(new MemoryState(), { onDurable: (sequence) => noted.push(sequence) });
    const sequence = await hard('a');
    expect(noted.at(-1)).toBe(sequence);
  });
});

describe('a state that can not be written', () => {
  it('refuses the purge, which is in force all the same', async () => {
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

  it('is made up for by the next write, with the records that others displaced', async () => {
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

  it('does not open', async () => {
    const state = new MemoryState();
    state.beforeCommit = () => Promise.reject(new Error('read-only file system'));
    await expect(open(state)).rejects.toThrow('read-only');
  });
});

describe('sequences', () => {
  it('resume above every number that was handed out, durable or not', async () => {
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

  it('would be handed out twice without reserved blocks, and an old entry outrank a purge', async () => {
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

  it('are not handed out beyond the block that is reserved', async () => {
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
  it('knows hard from soft, overflow and all', async () => {
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

  it('keeps the base of an era: what was forgotten in it stays invalid', async () => {
    const state = new MemoryState();
    const { fence, hard } = await open(state, { wordLimit: 20 });
    const floor = fence.sequence;
    await hard('a');
    for (let i = 0; i < 40; i += 1) await hard(`other ${i % 8}`);
    const again = await open(state.crashed());
    expect(again.verdict('a', floor)).toBe('hard');
  });

  it('counts all that it knows as just changed, and nothing else', async () => {
    const state = new MemoryState();
    const { hard } = await open(state);
    await hard('a');
    const clock = setClock(2_000_000_000_000);
    const { reader } = await open(state.crashed(), { clock });
    expect(reader.lastInvalidatedAtMs(hashTags(['a']))).toBe(clock.now);
    expect(reader.lastInvalidatedAtMs(hashTags(['b']))).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('a hold', () => {
  it('is in force from before it is written down until it is released, and invalid from then on', async () => {
    const { fence, verdict } = await open(new MemoryState());
    const tags = hashTags(['a']);
    const { sequence } = await fence.hold(tags, () => {});
    expect(verdict('a', fence.sequence)).toBe('hard');
    const released = await fence.release(tags, ['b'], () => {});
    expect(verdict('a', sequence)).toBe('hard');
    expect(verdict('b', sequence)).toBe('hard');
    expect(verdict('a', released.sequence)).toBe('clear');
  });

  it('stays while its end can not be written down', async () => {
    const state = new MemoryState();
    const { fence, verdict } = await open(state);
    const tags = hashTags(['a']);
    await fence.hold(tags, () => {});
    state.beforeCommit = () => Promise.reject(new Error('no space left'));
    await expect(fence.release(tags, [], () => {})).rejects.toThrow(NotDurableError);
    expect(verdict('a', fence.sequence)).toBe('hard');
  });
});

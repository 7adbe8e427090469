import { describe, expect, it } from 'vitest';
import { fc } from '../support/properties.ts';
import { entryOf, setClock, table, hashTags } from './given.ts';

describe('the fence as a table', () => {
  it('is exact until a bucket is full', () => {
    const tags = Array.from({ length: 300 }, (_, i) => `tag:${i}`);
    const fence = table(20_000);
    const sequences = new Map(tags.slice(0, 150).map((tag) => [tag, fence.hard(tag)]));
    expect(fence.writer.overflows).toBe(0);
    for (const tag of tags) {
      const last = sequences.get(tag) ?? 0;
      expect(fence.reader.verdict(entryOf([tag], last)).kind).toBe('clear');
      if (last > 0) expect(fence.reader.verdict(entryOf([tag], last - 1)).kind).toBe('hard');
    }
  });

  it('invalidates floors below the sequence, but not a floor equal to it', () => {
    const fence = table(7);
    const sequence = fence.hard('a');
    expect(fence.reader.verdict(entryOf(['a'], sequence)).kind).toBe('clear');
    expect(fence.reader.verdict(entryOf(['a'], sequence - 1)).kind).toBe('hard');
  });

  it('judges every tag hard that was invalidated above the floor, however full it is, and is exact without overflow', () => {
    const tag = fc.integer({ min: 0, max: 40 }).map((n) => `t${n}`);
    const step = fc.record({ tags: fc.array(tag, { minLength: 1, maxLength: 3 }), soft: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), tag, (steps, floor, asked) => {
        const fence = table(14);
        let hard = 0;
        let soft = 0;
        for (const { tags, soft: isSoft } of steps) {
          const sequence = isSoft ? fence.soft(...tags) : fence.hard(...tags);
          if (!tags.includes(asked)) continue;
          if (isSoft) soft = sequence;
          else hard = sequence;
        }
        const { kind } = fence.reader.verdict(entryOf([asked], floor));
        if (hard > floor) expect(kind).toBe('hard');
        else if (soft > floor) expect(['soft', 'hard']).toContain(kind);
        if (fence.writer.overflows === 0 && hard <= floor) expect(kind).toBe(soft > floor ? 'soft' : 'clear');
      }),
    );
  });

  it('invalidates every floor below a record that was overwritten', () => {
    const fence = table(7);
    fence.hard('first');
    for (const tag of ['b', 'c', 'd', 'e', 'f', 'g', 'h']) fence.hard(tag);
    expect(fence.writer.overflows).toBe(1);
    expect(fence.reader.verdict(entryOf(['first'], 0)).kind).toBe('hard');
    expect(fence.reader.verdict(entryOf(['another'], 0)).kind).toBe('hard');
    expect(fence.reader.verdict(entryOf(['another'], 1)).kind).toBe('clear');
  });

  it('keeps the hard and the soft sequence of a record apart, and hard takes precedence', () => {
    const clock = setClock();
    const fence = table(7, { clock });
    fence.soft('a');
    clock.now += 5_000;
    const hard = fence.hard('a');
    clock.now += 5_000;
    fence.soft('a');
    expect(fence.reader.verdict(entryOf(['a'], hard - 1)).kind).toBe('hard');
    expect(fence.reader.verdict(entryOf(['a'], hard))).toEqual({
      kind: 'soft',
      invalidatedAtMs: clock.now,
    });
  });

  it('dates staleness to the first soft invalidation under which the entry was judged', () => {
    const clock = setClock();
    const fence = table(7, { clock });
    const entry = entryOf(['a'], 0);
    fence.soft('a');
    const first = clock.now;
    expect(fence.reader.verdict(entry)).toEqual({ kind: 'soft', invalidatedAtMs: first });
    clock.now += 60_000;
    fence.soft('a');
    expect(fence.reader.verdict(entry)).toEqual({ kind: 'soft', invalidatedAtMs: first });
  });

  it("dates staleness to the earliest soft invalidation of the entry's tags", () => {
    const clock = setClock();
    const fence = table(70, { clock });
    fence.soft('a');
    const first = clock.now;
    clock.now += 60_000;
    fence.soft('b');
    const entry = entryOf(['b', 'a'], 0);
    expect(fence.reader.verdict(entry)).toEqual({ kind: 'soft', invalidatedAtMs: first });
  });

  it('never dates staleness later than the first soft invalidation above the floor', () => {
    const tag = fc.integer({ min: 0, max: 9 }).map((n) => `t${n}`);
    const step = fc.record({
      tag,
      mode: fc.constantFrom('soft', 'soft', 'hard'),
      waitMs: fc.integer({ min: 10, max: 100_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.nat(30), tag, (steps, fetchedAt, asked) => {
        const clock = setClock();
        const fence = table(7, { clock });
        const start = clock.now;
        let fetchedMs = start;
        const soft: number[] = [];
        for (const [index, step] of steps.entries()) {
          if (index < fetchedAt) fetchedMs = clock.now;
          clock.now += step.waitMs;
          fence[step.mode](step.tag);
          if (index >= fetchedAt && step.tag === asked && step.mode === 'soft') soft.push(clock.now);
        }
        clock.now += 1;
        const floor = Math.min(fetchedAt, steps.length);
        const verdict = fence.reader.verdict(entryOf([asked], floor, { requestTimeMs: fetchedMs }));
        if (verdict.kind !== 'soft') return;
        if (soft.length > 0) expect(verdict.invalidatedAtMs).toBeLessThan(soft[0]! + 10);
        if (soft.length === 1 && floor === 0 && fence.writer.overflows === 0) {
          expect(verdict.invalidatedAtMs).toBeGreaterThanOrEqual(soft[0]!);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('measures stale windows correctly when the wall clock jumps', () => {
    const clock = setClock();
    const fence = table(7, { clock });
    fence.soft('a');
    clock.now += 5_000;
    for (const jump of [-3_600_000, 3_600_000]) {
      clock.wallAhead += jump;
      const { invalidatedAtMs } = fence.reader.verdict(entryOf(['a'], 0)) as { invalidatedAtMs: number };
      expect(clock.nowMs() - invalidatedAtMs).toBe(5_000);
    }
  });

  it('judges an entry again after any invalidation', () => {
    const fence = table(7);
    const entry = entryOf(['a'], 0);
    expect(fence.reader.verdict(entry).kind).toBe('clear');
    fence.hard('b');
    expect(fence.reader.verdict(entry).kind).toBe('clear');
    fence.hard('a');
    expect(fence.reader.verdict(entry).kind).toBe('hard');
  });

  it('finds whether a tag was invalidated between the floor of a flight and the arrival of a waiter', () => {
    const fence = table(70);
    fence.hard('a');
    const floor = fence.hard('b');
    const tags = hashTags(['a', 'c']);
    expect(fence.reader.invalidatedBetween(tags, floor, fence.reader.published())).toBe(false);
    fence.hard('other');
    expect(fence.reader.invalidatedBetween(tags, floor, fence.reader.published())).toBe(false);
    fence.soft('c');
    expect(fence.reader.invalidatedBetween(tags, floor, fence.reader.published())).toBe(true);
    expect(fence.reader.invalidatedBetween(tags, floor, floor)).toBe(false);
  });
});

describe('eras', () => {
  it('begin before a number wraps, and every older floor counts as invalidated', () => {
    const fence = table(7, { wordLimit: 20 });
    const floors: number[] = [];
    for (let i = 0; i < 100; i += 1) {
      fence.hard(i % 10 === 0 ? 'a' : 'b');
      const published = fence.reader.published();
      expect(published).toBe(i + 1);
      expect(fence.reader.verdict(entryOf(['c'], published)).kind).toBe('clear');
      floors.push(published);
      const last = i - (i % 10) + 1;
      for (const floor of floors.filter((each) => each < last)) {
        expect(fence.reader.verdict(entryOf(['a'], floor)).kind).toBe('hard');
      }
    }
    expect(fence.writer.era).toBeGreaterThan(6);
  });

  it('begin before ticks wrap', () => {
    const clock = setClock();
    const fence = table(7, { wordLimit: 1_000, clock });
    fence.hard('a');
    const entry = entryOf(['b'], 1);
    expect(fence.reader.verdict(entry).kind).toBe('clear');
    clock.now += 11_000;
    fence.soft('c');
    expect(fence.reader.verdict(entryOf(['c'], 1))).toEqual({ kind: 'soft', invalidatedAtMs: clock.now });
  });

  it('apply to an entry with a cached clear verdict', () => {
    const fence = table(7, { wordLimit: 4 });
    const entry = entryOf(['a'], 0);
    expect(fence.reader.verdict(entry).kind).toBe('clear');
    fence.hard('a');
    for (let i = 0; i < 8; i += 1) {
      fence.hard('b');
      expect(fence.reader.verdict(entry).kind).toBe('hard');
    }
  });

  it('date the last invalidation of a tag without a record to their own beginning', () => {
    const clock = setClock();
    const fence = table(7, { wordLimit: 4, clock });
    const tags = hashTags(['a']);
    expect(fence.reader.lastInvalidatedAtMs(tags)).toBe(Number.NEGATIVE_INFINITY);
    fence.hard('a');
    clock.now += 1_000;
    for (let i = 0; i < 4; i += 1) fence.hard('b');
    expect(fence.reader.lastInvalidatedAtMs(tags)).toBe(clock.now);
  });

  it('keep holds', () => {
    const fence = table(7, { wordLimit: 4 });
    const tags = hashTags(['a']);
    fence.writer.hold(tags, 1, setClock().now);
    for (let i = 0; i < 8; i += 1) fence.hard('b');
    expect(fence.reader.isHeld(tags)).toBe(true);
    expect(fence.reader.verdict(entryOf(['a'], fence.reader.published())).kind).toBe('hard');
  });
});

describe('read lag', () => {
  it('covers requests within it after an invalidation, and no later ones', () => {
    const clock = setClock();
    const fence = table(70, { clock });
    const tags = hashTags(['a', 'b']);
    fence.hard('b');
    expect(fence.reader.withinReadLag(tags, clock.now, 1_000)).toBe(true);
    expect(fence.reader.withinReadLag(tags, clock.now + 900, 1_000)).toBe(true);
    expect(fence.reader.withinReadLag(tags, clock.now + 1_050, 1_000)).toBe(false);
    expect(fence.reader.withinReadLag(hashTags(['c']), clock.now, 1_000)).toBe(false);
  });

  it('is measured by the monotonic clock, whatever the wall clock shows', () => {
    const clock = setClock();
    const fence = table(70, { clock });
    const tags = hashTags(['a']);
    fence.hard('a');
    clock.wallAhead += 3_600_000;
    clock.now += 500;
    expect(fence.reader.withinReadLag(tags, clock.monotonicMs(), 1_000)).toBe(true);
    clock.wallAhead -= 7_200_000;
    fence.hard('a');
    clock.now += 500;
    expect(fence.reader.withinReadLag(tags, clock.monotonicMs(), 1_000)).toBe(true);
    clock.now += 600;
    expect(fence.reader.withinReadLag(tags, clock.monotonicMs(), 1_000)).toBe(false);
  });

  it('keeps an entry possibly stale though its tags are clear', () => {
    expect(table(7).reader.verdict(entryOf(['a'], 5, { possiblyStale: true })).kind).toBe('possibly-stale');
  });
});

describe('holds', () => {
  it('are counted: a tag is held until every hold on it is released', () => {
    const fence = table(70);
    const tags = hashTags(['a', 'b']);
    const nowMs = setClock().now;
    fence.writer.hold(tags, 1, nowMs);
    fence.writer.hold(hashTags(['a']), 2, nowMs);
    expect(fence.writer.holds).toBe(3);
    fence.writer.release(tags);
    expect(fence.reader.verdict(entryOf(['a'], 9)).kind).toBe('hard');
    expect(fence.reader.verdict(entryOf(['b'], 9)).kind).toBe('clear');
    fence.writer.release(hashTags(['a']));
    expect(fence.reader.verdict(entryOf(['a'], 9)).kind).toBe('clear');
    expect(fence.writer.holds).toBe(0);
  });

  it('apply to an entry with a cached clear verdict', () => {
    const fence = table(70);
    const entry = entryOf(['a'], 0);
    expect(fence.reader.verdict(entry).kind).toBe('clear');
    fence.writer.hold(hashTags(['a']), 1, setClock().now);
    expect(fence.reader.verdict(entry).kind).toBe('hard');
  });

  it('are never lost in a full table, in any order of holds and releases', () => {
    const tag = fc.integer({ min: 0, max: 20 }).map((n) => `t${n}`);
    fc.assert(
      fc.property(fc.array(fc.tuple(tag, fc.boolean()), { maxLength: 80 }), (steps) => {
        const fence = table(7);
        const counts = new Map<string, number>();
        let sequence = 0;
        for (const [name, isHold] of steps) {
          const count = counts.get(name) ?? 0;
          if (isHold) fence.writer.hold(hashTags([name]), (sequence += 1), 0);
          else if (count > 0) fence.writer.release(hashTags([name]));
          counts.set(name, Math.max(0, count + (isHold ? 1 : -1)));
          for (const [each, held] of counts) {
            if (held > 0) expect(fence.reader.isHeld(hashTags([each]))).toBe(true);
          }
        }
        for (const [each, held] of counts) {
          for (let i = 0; i < held; i += 1) fence.writer.release(hashTags([each]));
        }
        expect([...counts.keys()].filter((each) => fence.reader.isHeld(hashTags([each])))).toEqual([]);
        expect(fence.writer.holds).toBe(0);
      }),
    );
  });
});

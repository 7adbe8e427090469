import { describe, expect, it } from 'vitest';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from './offered.ts';
import { open } from './opened.ts';

describe('waiting writes in a restored state', () => {
  it("are sent only after an operator's decision, and in the order of each URL", async () => {
    const state = new MemoryState();
    const { journal } = await open(state);
    const numbers: number[] = [];
    for (const target of ['/1', '/1', '/2'])
      numbers.push(numberOf(await journal.accept(offer(target, target))));
    const restored = await open(state.copy());
    await restored.journal.distrustWaiting();
    const { tables } = restored.journal;
    const dues = (): number[] => [...tables.dues('shop', null)].map(({ number }) => number);
    expect(dues()).toEqual([]);
    expect(tables.counts()).toMatchObject({ waiting: 0, dead: 3 });
    const states = [...tables.records('dead', 0, 10)].map(({ record }) =>
      record.kind === 'record' ? record.record.state : record.kind,
    );
    expect(states).toEqual(['uncertain', 'uncertain', 'uncertain']);
    expect(restored.isHeld('url:/1')).toBe(true);
    // The second write to a URL waits for the first, whatever was decided for it.
    await restored.journal.retry(numbers[1]!);
    expect(dues()).toEqual([]);
    const first = tables.record('dead', numbers[0]!);
    if (first?.kind !== 'record') throw new Error('it is not there');
    await restored.journal.leave(numbers[0]!, {
      section: 'gone',
      record: first.record,
      timedHold: null,
      moreTags: [],
    });
    expect(dues()).toEqual([numbers[1]]);
    await restored.journal.retry(numbers[2]!);
    expect(dues().toSorted()).toEqual([numbers[1], numbers[2]]);
    expect(tables.counts()).toMatchObject({ waiting: 2, dead: 0 });
  });

  it('can be retried in their order', async () => {
    const state = new MemoryState();
    const { journal } = await open(state);
    const first = numberOf(await journal.accept(offer('/1', 'a')));
    await journal.accept(offer('/1', 'b'));
    const restored = await open(state.copy());
    await restored.journal.distrustWaiting();
    await restored.journal.retry(first);
    const dues = [...restored.journal.tables.dues('shop', null)].map(({ number }) => number);
    expect(dues).toEqual([first]);
  });
});

/** The outcomes of entries that a worker has sent to the disk's writer, and who waits for them. */
import { expect, it } from 'vitest';
import { EntryOutcomes, outcomesBuffer, SentEntries } from '../../../proxy/store/disk/outcomes.ts';

function scene(entries: number) {
  const buffer = outcomesBuffer(1);
  const stored: boolean[] = [];
  const sent = new SentEntries(buffer, 0, (isStored) => stored.push(isStored));
  const outcomes = new EntryOutcomes(buffer, 0);
  for (let i = 0; i < entries; i += 1) sent.add();
  return { outcomes, sent, stored };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** Whether the promise has resolved by the end of a turn. */
async function hasResolved(promise: Promise<unknown> | null): Promise<boolean> {
  let resolved = promise === null;
  void promise?.then(() => (resolved = true));
  await turn();
  return resolved;
}

it('an entry has arrived only after all that were sent before it', async () => {
  const { outcomes } = scene(2);
  outcomes.receive(2);
  const both = outcomes.arrived();
  outcomes.settle(1, false);
  expect(await hasResolved(both)).toBe(false);
  outcomes.settle(0, true);
  expect(await hasResolved(both)).toBe(true);
  expect(outcomes.arrived()).toBe(null);
});

it('a later entry that is refused at once does not stand for an earlier one', async () => {
  const { outcomes, sent } = scene(1);
  outcomes.receive(1);
  const first = outcomes.arrived();
  sent.add();
  outcomes.receive(2);
  outcomes.settle(1, false);
  expect(await hasResolved(first)).toBe(false);
  outcomes.settle(0, true);
  expect(await hasResolved(first)).toBe(true);
});

it('entries of a worker that has died are waited for where they have reached the writer, and only there', async () => {
  const { outcomes } = scene(3);
  outcomes.receive(2);
  const before = outcomes.arrived();
  outcomes.close();
  const after = outcomes.arrived();
  outcomes.settle(0, true);
  expect(await hasResolved(before)).toBe(false);
  expect(await hasResolved(after)).toBe(false);
  outcomes.settle(1, true);
  expect(await hasResolved(before)).toBe(true);
  expect(await hasResolved(after)).toBe(true);
  expect(outcomes.arrived()).toBe(null);
});

it('a worker takes outcomes in the order of sending', async () => {
  const { outcomes, sent, stored } = scene(2);
  outcomes.receive(2);
  outcomes.settle(1, true);
  await turn();
  sent.take();
  expect(stored).toEqual([]);
  outcomes.settle(0, false);
  await turn();
  sent.take();
  expect(stored).toEqual([false, true]);
});

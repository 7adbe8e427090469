import { expect, it } from 'vitest';
import { orderQueueId } from '../../proxy/writes/journal/order-queues.ts';
import { PendingWrites } from '../../proxy/writes/journal/pending-writes.ts';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from './offered.ts';
import { open } from './opened.ts';

const LONG_MS = 600_000;
const queueOf = (target: string) => orderQueueId({ origin: 'shop', authority: null, target });

async function opened() {
  const parts = await open(new MemoryState());
  const pending = new PendingWrites(parts.journal, parts.timedHolds);
  const deliver = async (number: number): Promise<void> => {
    const begun = await parts.journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done' } as const;
    await parts.journal.leave(number, { section: 'done', record, timedHold: null, moreTags: [] });
    pending.moved(record.queue);
  };
  return { ...parts, pending, deliver };
}

it('a reader gets the content of the last PUT in all queues, with the fields that describe it', async () => {
  const { journal, pending } = await opened();
  await journal.accept(offer('/1?a', 'old'));
  await journal.accept(offer('/1', 'new', { fields: ['Content-Type', 'a/b', 'Authorization', 'secret'] }));
  const shown = await pending.read([queueOf('/1?a'), queueOf('/1')], 'pending', LONG_MS);
  expect(shown).toMatchObject({ kind: 'content', fields: ['Content-Type', 'a/b'] });
  if (shown.kind === 'content') expect(Buffer.from(shown.content).toString()).toBe('new');
});

it('a reader gets a DELETE as such', async () => {
  const { journal, pending } = await opened();
  await journal.accept(offer('/1', '', { method: 'DELETE', body: null }));
  expect(await pending.read([queueOf('/1')], 'pending', LONG_MS)).toEqual({ kind: 'deleted' });
});

it.each([
  ['another method', { method: 'PATCH' }],
  ['a part', { fields: ['Content-Range', 'bytes 0-0/2'] }],
] as const)(
  'a reader waits for the delivery of %s, which does not say what a GET gets',
  async (_what, more) => {
    const { journal, pending, deliver } = await opened();
    const number = numberOf(await journal.accept(offer('/1', 'x', more)));
    const read = pending.read([queueOf('/1')], 'pending', LONG_MS);
    await deliver(number);
    expect(await read).toEqual({ kind: 'none' });
  },
);

it('a reader waits until no write is left, even if a PUT could be shown, if the route says so', async () => {
  const { journal, pending, deliver } = await opened();
  const numbers = [];
  for (const body of ['x', 'y']) numbers.push(numberOf(await journal.accept(offer('/1', body))));
  let isOver = false;
  const read = pending.read([queueOf('/1')], 'wait', LONG_MS).then((result) => {
    isOver = true;
    return result;
  });
  await deliver(numbers[0]!);
  expect(isOver).toBe(false);
  await deliver(numbers[1]!);
  expect(await read).toEqual({ kind: 'none' });
});

it('a reader waits no longer than its limit', async () => {
  const { journal, pending } = await opened();
  await journal.accept(offer('/1', 'x'));
  expect(await pending.read([queueOf('/1')], 'wait', 1)).toEqual({ kind: 'none' });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { orderQueueId, OrderQueues } from '../../proxy/writes/journal/order-queues.ts';

const LIMITS = { waiting: 2, waitMs: 1_000, maxProcessingMs: 5_000 };
const URL = orderQueueId({ origin: 'shop', authority: null, target: '/1' });

/** The places of the URL's first and last write in the journal. */
let places: number[];
let freed: number;
let queues: OrderQueues;

beforeEach(() => {
  vi.useFakeTimers();
  places = [];
  freed = 0;
  const journal = { first: () => places[0] ?? null, last: () => places.at(-1) ?? null };
  queues = new OrderQueues(journal, () => {
    freed += 1;
  });
});

afterEach(() => {
  vi.useRealTimers();
});

it('queues are named by origin, host and target', () => {
  const shop = { origin: 'shop', authority: null, target: '/1' };
  const others = [
    { ...shop, origin: 'blog' },
    { ...shop, authority: 'a.example' },
    { ...shop, target: '/1?' },
  ];
  const ids = [shop, ...others].map(orderQueueId);
  expect(new Set(ids).size).toBe(4);
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
});

describe('a write that is sent at once', () => {
  it('has its turn at once where no write precedes it, also while other such writes run', async () => {
    expect(await queues.enter(URL, LIMITS).granted).toBe('granted');
    expect(await queues.enter(URL, LIMITS).granted).toBe('granted');
  });

  it('waits for earlier writes in the journal, and not for later ones', async () => {
    places = [3, 4];
    const turn = queues.enter(URL, LIMITS);
    expect(queues.admitsJournal(URL, 3)).toBe(true);
    expect(queues.admitsJournal(URL, 5)).toBe(false);
    places = [4, 5];
    queues.journalMoved(URL);
    expect(queues.hasWaiting(URL)).toBe(true);
    places = [5];
    queues.journalMoved(URL);
    expect(await turn.granted).toBe('granted');
    expect(queues.admitsJournal(URL, 5)).toBe(false);
    queues.leave(URL);
    expect(queues.admitsJournal(URL, 5)).toBe(true);
    expect(freed).toBe(1);
  });

  it('is rejected where too many wait or its turn does not come in time', async () => {
    places = [1];
    const turns = [1, 2, 3].map(() => queues.enter(URL, LIMITS));
    expect(await turns[2]!.granted).toBe('busy');
    vi.advanceTimersByTime(LIMITS.waitMs);
    expect(await Promise.all(turns.map(({ granted }) => granted))).toEqual(['busy', 'busy', 'busy']);
    expect(queues.hasWaiting(URL)).toBe(false);
  });

  it('can leave before its turn', async () => {
    places = [1];
    const turn = queues.enter(URL, LIMITS);
    turn.leave();
    expect(await turn.granted).toBe('left');
    places = [];
    queues.journalMoved(URL);
    expect(queues.admitsJournal(URL, 2)).toBe(true);
  });
});

describe('an attempt of unknown outcome', () => {
  it('keeps other writes to its URL from being sent until it is settled', async () => {
    queues.unsettled(URL);
    const turn = queues.enter(URL, LIMITS);
    expect(queues.admitsJournal(URL, 1)).toBe(false);
    // The hold may last longer than a write waits in its queue: max-processing.
    vi.advanceTimersByTime(LIMITS.maxProcessingMs - 1);
    queues.settled(URL);
    expect(await turn.granted).toBe('granted');
  });

  it('does not delay a stop', async () => {
    queues.unsettled(URL);
    const turn = queues.enter(URL, LIMITS);
    queues.endWaiting();
    expect(await turn.granted).toBe('busy');
    expect(await queues.enter(URL, LIMITS).granted).toBe('busy');
  });
});

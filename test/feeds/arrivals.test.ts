import { describe, expect, it } from 'vitest';
import { BatchSize } from '../../origin-adapters/feeds/batch-size.ts';
import { Arrivals } from '../../origin-adapters/feeds/nats/arrivals.ts';
import { gate, settle } from '../support/barrier.ts';
import { FakeClock } from './fake-clock.ts';

describe('the size of a batch', () => {
  it('follows the size of messages, and at most doubles', () => {
    const size = new BatchSize();
    const first = size.messages;
    size.learn(first, first * 100);
    expect(size.messages).toBe(first * 2);
    for (let i = 0; i < 10; i++) size.learn(size.messages, size.messages * 100);
    expect(size.messages).toBe(256);
    size.learn(256, 256 * 64 * 1024);
    expect(size.messages).toBe(16);
    size.learn(16, 64 * 2 ** 20);
    expect(size.messages).toBe(1);
  });

  it('is unchanged when nothing arrived', () => {
    const size = new BatchSize();
    const before = size.messages;
    size.learn(0, 0);
    expect(size.messages).toBe(before);
  });
});

describe('arrivals', () => {
  it('request the next batch only when all of the last one were taken', async () => {
    const { arrivals, asked } = scripted([['a', 'b'], ['c']]);
    await settle();
    expect(asked).toHaveLength(1);
    expect(arrivals.take()).toBe('a');
    expect(arrivals.take()).toBe('b');
    expect(arrivals.take()).toBeNull();
    await settle();
    expect(asked).toHaveLength(2);
    expect(arrivals.take()).toBe('c');
  });

  it('end a wait by a message or by time', async () => {
    const later = gate();
    const { arrivals, clock } = scripted([['a']], later.promise);
    const byTime = arrivals.wait(50);
    clock.advance(50);
    await byTime;
    expect(arrivals.isEmpty).toBe(true);
    const byMessage = arrivals.wait(50);
    later.open();
    await byMessage;
    expect(arrivals.take()).toBe('a');
    expect(clock.timers).toBe(0);
  });

  it('give all messages before the reason for the end', async () => {
    const { arrivals } = scripted([['a']], undefined, new Error('the connection was lost'));
    await settle();
    expect(arrivals.take()).toBe('a');
    expect(() => arrivals.take()).toThrow('the connection was lost');
  });

  it('end a wait when they are aborted', async () => {
    const { arrivals, abort } = scripted([['a']], gate().promise);
    const waiting = arrivals.wait(50);
    abort.abort();
    await waiting;
    expect(() => arrivals.take()).toThrow();
  });
});

/** Batches that arrive once `open` has resolved; after the last one nothing arrives. */
function scripted(batches: readonly (readonly string[])[], open?: Promise<void>, why: Error | null = null) {
  const asked: number[] = [];
  const clock = new FakeClock();
  const abort = new AbortController();
  const arrivals = new Arrivals<string>({
    clock,
    signal: abort.signal,
    fetch: async (messages) => {
      const batch = batches[asked.length];
      asked.push(messages);
      await (batch === undefined ? gate().promise : open);
      return of(batch ?? []);
    },
    bytesOf: (message) => message.length,
    whyEnded: () => why,
  });
  return { arrivals, asked, clock, abort };
}

async function* of(messages: readonly string[]): AsyncGenerator<string> {
  yield* messages;
}

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ResponseWaiters } from '../../proxy/writes/delivery/response-waiters.ts';

const RESPONSE = { status: 201, fields: [], content: new Uint8Array(0) };

beforeEach(() => void vi.useFakeTimers());

afterEach(() => void vi.useRealTimers());

it('a response goes to all who wait for its write, and to no other client', async () => {
  const waiters = new ResponseWaiters();
  const waits = [waiters.wait(1, 10), waiters.wait(1, 10), waiters.wait(2, 10)];
  waiters.settle(1, RESPONSE);
  vi.advanceTimersByTime(10);
  expect(await Promise.all(waits)).toEqual([RESPONSE, RESPONSE, null]);
});

it('a wait without a response ends in time, and all waits end at a stop', async () => {
  const waiters = new ResponseWaiters();
  const short = waiters.wait(1, 10);
  const long = waiters.wait(1, 600_000);
  vi.advanceTimersByTime(10);
  expect(await short).toBe(null);
  waiters.close();
  expect([await long, await waiters.wait(1, 600_000)]).toEqual([null, null]);
  expect(vi.getTimerCount()).toBe(0);
});

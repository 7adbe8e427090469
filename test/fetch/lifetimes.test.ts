import { describe, expect, it } from 'vitest';
import { formatHttpDate } from '../../policies/http/dates.ts';
import { createLifetimeClock, startLifetimes } from '../../proxy/threads/lifetime-clock.ts';
import { setClock } from '../fence/given.ts';
import { startWorkers } from './workers.ts';

const HOUR_MS = 3_600_000;

/** A worker whose requests for a path show, by their number, when the entry is stale. */
async function scene(fields: readonly string[]) {
  const workers = await startWorkers(1);
  const get = async (): Promise<void> => {
    const answered = workers.ask(0, '/a');
    await workers.answerAll(() => {
      const date = ['Date', formatHttpDate(workers.clock.nowMs())];
      return { fields: [...fields, ...date], body: 'a' };
    });
    await answered;
  };
  await get();
  return { ...workers, get, asked: () => workers.origin.requests.length };
}

describe('a lifetime', () => {
  it('ends although the wall clock goes back', async () => {
    const { clock, get, asked } = await scene(['Cache-Control', 'max-age=2']);
    clock.wallAhead = -HOUR_MS;
    await get();
    expect(asked()).toBe(1);
    clock.now += 3_000;
    await get();
    expect(asked()).toBe(2);
    // An entry that is stored later is as young as it says.
    await get();
    expect(asked()).toBe(2);
  });

  it('ends when the machine has slept for longer', async () => {
    const { clock, get, asked } = await scene(['Cache-Control', 'max-age=60']);
    clock.wallAhead = HOUR_MS;
    await get();
    expect(asked()).toBe(2);
    await get();
    expect(asked()).toBe(2);
  });

  it.each(['stale-while-revalidate=5', 'stale-if-error=5'])(
    'has a stale window that ends although the wall clock goes back: %s',
    async (window) => {
      const { clock, get, asked, ask, answerAll } = await scene(['Cache-Control', `max-age=2, ${window}`]);
      clock.wallAhead = -HOUR_MS;
      clock.now += 10_000;
      const answered = ask(0, '/a');
      await answerAll(() => ({ kind: 'connection_refused', status: 502 }));
      expect((await answered).status).toBe(502);
      expect(asked()).toBeGreaterThan(1);
      await get();
    },
  );
});

describe('the clock of lifetimes', () => {
  it('is the same for all threads, and never goes back', () => {
    const clock = setClock();
    const start = startLifetimes(clock);
    const [one, other] = [createLifetimeClock(clock, start), createLifetimeClock(clock, start)];
    const before = one.nowMs();
    clock.wallAhead = HOUR_MS;
    expect(one.nowMs()).toBe(before + HOUR_MS);
    clock.wallAhead = -HOUR_MS;
    clock.now += 5;
    expect([one.nowMs(), other.nowMs()]).toEqual([before + HOUR_MS + 5, before + HOUR_MS + 5]);
    expect(one.wallMs()).toBe(clock.nowMs());
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Deadlines } from '../../proxy/http/h1/deadlines.ts';
import { systemClock } from '../../proxy/threads/clock.ts';

describe('deadlines', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([100, 1_000, 75_000])('of %i ms never pass early, and at most an eighth late', (deadlineMs) => {
    const deadlines = new Deadlines(deadlineMs);
    for (let n = 0; n < 50; n += 1) {
      const beganMs = systemClock.monotonicMs();
      const { fromMs } = deadlines;
      const passed: number[] = [];
      const timed = {
        checkDeadlines: (nowMs: number) => {
          if (nowMs - fromMs >= deadlineMs) passed.push(nowMs);
        },
      };
      deadlines.add(timed);
      while (passed.length === 0) vi.advanceTimersByTime(Math.ceil(deadlineMs / 500));
      deadlines.delete(timed);
      expect(passed[0]! - beganMs).toBeGreaterThanOrEqual(deadlineMs);
      expect(passed[0]! - beganMs).toBeLessThanOrEqual(deadlineMs * 1.125);
      // The next deadline begins between two ticks.
      vi.advanceTimersByTime(3);
    }
    deadlines.end();
    expect(vi.getTimerCount()).toBe(0);
  });
});

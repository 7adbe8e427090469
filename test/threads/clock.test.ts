import { expect, it } from 'vitest';
import { clockOffsetMs } from '../../proxy/threads/clock.ts';

it('compares two clocks right though the thread is kept from running between most readings', () => {
  let nowMs = 0;
  let readings = 0;
  const read = (): number => {
    readings += 1;
    // Two readings of sixteen follow at once.
    nowMs += readings % 16 === 5 || readings % 16 === 6 ? 0.001 : 25;
    return nowMs;
  };
  const offsetMs = clockOffsetMs(
    () => read() + 1_000,
    () => read(),
  );
  expect(Math.abs(offsetMs - 1_000)).toBeLessThan(0.01);
});

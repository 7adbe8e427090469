import { describe, expect, it } from 'vitest';
import { decideProgress } from '../../policies/request-progress.ts';

const LOOK = { bytes: 0, elapsedMs: 10_000, wasHeldBack: false, leastBytesPerSecond: 1_024 };

describe("the progress of a request's content", () => {
  it.each([
    ['a byte a second', { bytes: 10 }, 'too-slow'],
    ['one byte less than required', { bytes: 10_239 }, 'too-slow'],
    ['as much as required', { bytes: 10_240 }, 'goes-on'],
    ['nothing while Weir reads nothing', { wasHeldBack: true }, 'goes-on'],
    ['nothing, where any rate is enough', { leastBytesPerSecond: 0 }, 'too-slow'],
    ['a byte, where any rate is enough', { leastBytesPerSecond: 0, bytes: 1 }, 'goes-on'],
    ['as much over a longer time', { bytes: 10_240, elapsedMs: 10_500 }, 'too-slow'],
  ] as const)('is judged for %s', (_, look, expected) => {
    expect(decideProgress({ ...LOOK, ...look })).toBe(expected);
  });
});

/**
 * Tests invalidations faster than the origin's answers: no client waits forever, and the origin is not
 * overloaded.
 */
import { expect, it } from 'vitest';
import { storm } from './storming.ts';

it('3,000 concurrent purges of a prefix cause at most two requests at once for each key, and every client is answered', async () => {
  const { purges, answers, mostAtOrigin, originRequests, flights } = await storm(3_000);
  expect(purges).toBeGreaterThanOrEqual(3_000);
  expect(new Set(answers.flat())).toEqual(new Set([200]));
  expect(mostAtOrigin).toBe(2);
  // The number of requests depends on the speed of the origin, not on the number of purges.
  expect(originRequests).toBeLessThan(purges / 10);
  expect(flights).toMatchObject({ waiting: 0, running: 0 });
  expect(flights.outrun).toBeGreaterThan(0);
});

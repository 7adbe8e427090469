/** Invalidations faster than the origin answers: no client waits for ever, and the origin is not flooded. */
import { expect, it } from 'vitest';
import { storm } from './storming.ts';

it('3,000 purges of a prefix, many at a time, cost each key two requests at a time, and every client is answered', async () => {
  const { purges, answers, mostAtOrigin, originRequests, flights } = await storm(3_000);
  expect(purges).toBeGreaterThanOrEqual(3_000);
  expect(new Set(answers.flat())).toEqual(new Set([200]));
  expect(mostAtOrigin).toBe(2);
  // The origin is asked as often as it can answer, not as often as something is purged.
  expect(originRequests).toBeLessThan(purges / 10);
  expect(flights).toMatchObject({ waiting: 0, running: 0 });
  expect(flights.outrun).toBeGreaterThan(0);
});

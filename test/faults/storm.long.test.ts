import { expect, it } from 'vitest';
import { storm } from '../scenarios/storming.ts';

it('60,000 purges at 1,000 a second or more: at most two concurrent requests for a key, and every client is answered', async () => {
  const { purges, seconds, answers, mostAtOrigin, originRequests, flights } = await storm(60_000);
  const rate = purges / seconds;
  console.log(
    `${purges} purges in ${seconds.toFixed(1)} s: ${rate.toFixed(0)} a second; ${originRequests} requests at the origin, ${answers.flat().length} answers`,
  );
  expect(rate).toBeGreaterThanOrEqual(1_000);
  expect(new Set(answers.flat())).toEqual(new Set([200]));
  expect(mostAtOrigin).toBeLessThanOrEqual(2);
  expect(flights).toMatchObject({ waiting: 0, running: 0 });
});

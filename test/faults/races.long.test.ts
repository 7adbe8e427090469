import { expect, it } from 'vitest';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { race } from '../coherence/race.ts';

it('20,000 races serve no stale response', async () => {
  const { found, report } = await race(ALL_MECHANISMS, 20_000);
  expect(found, report).toBe(false);
});

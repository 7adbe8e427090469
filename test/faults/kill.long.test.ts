import { expect, it } from 'vitest';
import { runKillRounds } from '../scenarios/kill-rounds.ts';

it('50 rounds of kill -9 under load lose nothing that was on disk, and bring back nothing whose purge was answered', async () => {
  const seed = Date.now() % 1_000_000;
  const { stale, lost, purges, kept } = await runKillRounds(50, seed);
  expect({ stale, lost }, `seed ${seed}`).toEqual({ stale: [], lost: [] });
  expect(purges).toBeGreaterThan(50);
  expect(kept).toBeGreaterThan(20);
});

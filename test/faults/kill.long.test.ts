import { expect, it } from 'vitest';
import { runKillRounds } from '../scenarios/kill-rounds.ts';

it('50 rounds of SIGKILL under load lose no entry on disk, and restore no entry whose purge was answered', async () => {
  const seed = Date.now() % 1_000_000;
  const { stale, lost, purges, kept } = await runKillRounds(50, seed);
  expect({ stale, lost }, `seed ${seed}`).toEqual({ stale: [], lost: [] });
  expect(purges).toBeGreaterThan(50);
  expect(kept).toBeGreaterThan(20);
});

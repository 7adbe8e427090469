import { expect, it } from 'vitest';
import { runKillRounds } from './kill-rounds.ts';

it('kill -9 under load loses no entry on disk, and brings back no entry whose purge was acknowledged', async () => {
  const { stale, lost, purges, kept } = await runKillRounds(3, 7);
  expect({ stale, lost }).toEqual({ stale: [], lost: [] });
  expect(purges).toBeGreaterThan(0);
  expect(kept).toBeGreaterThan(0);
}, 120_000);

import { describe, expect, it } from 'vitest';
import { runKillRounds } from '../store/disk/support/kill-rounds.ts';
import { scratchFolder } from '../store/disk/support/open-disk.ts';

describe('kill -9, fifty times at random moments', () => {
  it('keeps committed entries, restores no removed entry, and leaves the counters right', async () => {
    const { stored } = await runKillRounds(scratchFolder(), 50, Math.random);
    expect(stored.size).toBeGreaterThan(1000);
  }, 600_000);
});

import { describe, expect, it } from 'vitest';
import { runKillRounds } from './support/kill-rounds.ts';
import { scratchFolder } from './support/open-disk.ts';

describe('kill -9', () => {
  it('keeps committed entries, restores no removed entry, and leaves the counters right', async () => {
    const moments = [0.02, 0.4, 0.97];
    const { stored } = await runKillRounds(scratchFolder(), moments.length, () => moments.pop()!);
    expect(stored.size).toBeGreaterThan(50);
  });
});

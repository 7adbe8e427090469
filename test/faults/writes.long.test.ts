import { expect, it } from 'vitest';
import { runFaults } from '../writes/fault-rounds.ts';

const SEEDS = [1, 2, 3, 4, 5, 6];

it.each(SEEDS)(
  'writes keep their guarantees over kills and failures, seed %i',
  async (seed) => {
    const report = await runFaults({ seed, urls: 8, writesPerUrl: 150, kills: 8 });
    expect(report.violations).toEqual([]);
    const answered = ['behind', 'through', 'oversize', 'full', 'full-through', 'too-large'];
    for (const answer of answered) expect(report.answers.get(answer), answer).toBeGreaterThan(0);
  },
  600_000,
);

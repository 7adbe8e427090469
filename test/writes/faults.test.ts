import { expect, it } from 'vitest';
import { runFaults } from './fault-rounds.ts';

it('no acknowledged write is lost, repeated, out of order or invisible, over kills and failures of the origin', async () => {
  const report = await runFaults({ seed: 7, urls: 6, writesPerUrl: 40, kills: 2 });
  expect(report.violations).toEqual([]);
  expect(report.acknowledged).toBeGreaterThan(50);
  expect(report.reads).toBeGreaterThan(20);
}, 120_000);

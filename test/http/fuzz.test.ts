import { expect, it } from 'vitest';
import { fuzzListener } from './fuzzing.ts';

it('mutated messages cause no crash, no hang, and no answer on the wrong connection', async () => {
  const report = await fuzzListener(1, 3_000);
  expect(report.faults).toEqual([]);
  expect(report.answers).toBeGreaterThan(500);
  expect(report.refusals).toBeGreaterThan(500);
});

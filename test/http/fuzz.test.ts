import { expect, it } from 'vitest';
import { fuzzListener } from './fuzzing.ts';

it('survives mutated messages: no crash, no hang, no answer on the wrong connection', async () => {
  const report = await fuzzListener(1, 3_000);
  expect(report.faults).toEqual([]);
  expect(report.answers).toBeGreaterThan(500);
  expect(report.refusals).toBeGreaterThan(500);
});

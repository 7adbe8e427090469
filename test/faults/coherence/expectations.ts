import { expect } from 'vitest';
import { describeViolation } from './history.ts';
import type { RunResult } from './run.ts';

/** Expects no response older than what was in force when its request began, and a run that could have shown one. */
export function expectCoherent({ history, isConclusive, bounds, faults, weirLines }: RunResult): void {
  const violations = history.violations(bounds);
  console.info(
    `${history.reads.length} reads, ${history.hits} hits, ${history.failures} failed, ${history.writes.length} writes, ` +
      `${history.inForce} in force, ${faults.length} faults, ${violations.length} violations`,
  );
  if (violations.length > 0) {
    console.error(faults.join('\n'));
    console.error(weirLines.slice(-60).join('\n'));
  }
  expect(history.wrong.slice(0, 10)).toEqual([]);
  expect(violations.slice(0, 10).map(describeViolation)).toEqual([]);
  expect(isConclusive).toBe(true);
}

/** How long all workers may take, on a busy machine, to learn from an answer of the origin. */
const LEARNING_MS = 1_000;

/** Expects no response older than an answer that the origin had sent before the request began. */
export function expectLearnt({ history, sentAnswers }: RunResult): void {
  expect(history.outdated(sentAnswers, LEARNING_MS).slice(0, 10)).toEqual([]);
}

import { expect } from 'vitest';
import { describeViolation } from './history.ts';
import type { RunResult } from './run.ts';

/** No response was older than what was in force when its request began; and the run was one that could have shown it. */
export function expectCoherent({ history, isTelling, bounds, faults, weirLines }: RunResult): void {
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
  expect(isTelling).toBe(true);
}

/** How long Weir may take over an answer of the origin before all its workers know what it teaches, on a busy machine. */
const LEARNING_MS = 1_000;

/** No response was older than what the origin had said before its request began. */
export function expectLearnt({ history, said }: RunResult): void {
  expect(history.outdated(said, LEARNING_MS).slice(0, 10)).toEqual([]);
}

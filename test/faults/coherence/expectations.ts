import { expect } from 'vitest';
import { describeViolation } from './history.ts';
import type { RunResult } from './run.ts';

/** No response was older than what was in force when its request began; and the run was one that could have shown it. */
export function expectCoherent({ history, bounds, faults, weirLines }: RunResult): void {
  const violations = history.violations(bounds);
  console.info(
    `${history.reads.length} reads, ${history.hits} hits, ${history.failures} failed, ${history.writes.length} writes, ` +
      `${history.inForce} in force, ${faults.length} faults, ${violations.length} violations`,
  );
  if (violations.length > 0) {
    console.error(faults.join('\n'));
    console.error(weirLines.slice(-60).join('\n'));
  }
  expect(violations.slice(0, 10).map(describeViolation)).toEqual([]);
  expect(history.isTelling).toBe(true);
}

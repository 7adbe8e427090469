import { expect, it } from 'vitest';
import { inspection, type InspectionDependencies } from '../../proxy/process/inspection.ts';

it('a dry run ends in bounded time, though nothing is found, and says that it is not complete', async () => {
  let nowMs = 0;
  const disk = {
    async *scan() {
      for (; nowMs < 60_000; nowMs += 3) yield [];
    },
  };
  const { findEntries } = inspection({
    clock: { monotonicMs: () => nowMs },
    fence: { buffer: new SharedArrayBuffer(4096) },
    pool: { find: async () => ({ answers: [], silent: [] }) },
    disk,
  } as unknown as InspectionDependencies);
  expect(await findEntries(['tag:rare'])).toEqual({ entries: 0, sample: [], complete: false });
  expect(nowMs).toBeLessThan(11_000);
});

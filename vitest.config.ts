import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/faults/**/*.long.test.ts'],
    pool: 'forks',
    // Most tests wait for processes and servers of their own, not for a processor.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A condition that comes to hold may take its time on a busy machine.
    expect: { poll: { timeout: 30_000 } },
  },
});

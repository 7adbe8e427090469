import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/faults/**/*.long.test.ts'],
    pool: 'forks',
    // Most tests wait for processes and servers of their own, not for a processor.
    maxWorkers: 2,
    // Tests start Weir themselves: it is not the npm that runs them that it waits for.
    env: { npm_package_name: '', npm_lifecycle_event: '' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A condition that comes to hold may take its time on a busy machine.
    expect: { poll: { timeout: 30_000 } },
  },
});

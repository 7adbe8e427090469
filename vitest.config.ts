import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Tests that start no Weir and no server, so that their files can share a module registry. */
const unitFiles = [
  ...['architecture', 'config', 'fence', 'observability', 'policies', 'request', 'rfc9111'].map(
    (folder) => `test/${folder}/**/*.test.ts`,
  ),
  'test/fetch/{body,flights,machine}.test.ts',
  'test/store/*.test.ts',
];
const scenarioFiles = ['test/scenarios/**/*.test.ts'];
const longFaults = 'test/faults/**/*.long.test.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    // Most tests wait for processes and servers of their own, not for a processor.
    maxWorkers: 4,
    env: {
      // Tests start Weir themselves: it is not the npm that runs them that it waits for.
      npm_package_name: '',
      npm_lifecycle_event: '',
      // Without it each Weir that a test starts compiles all its modules anew, in each of its threads.
      NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/weir-tests'),
    },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A condition that comes to hold may take its time on a busy machine.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      { extends: true, test: { name: 'unit', include: unitFiles, isolate: false } },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: [...unitFiles, ...scenarioFiles, 'test/faults/**'],
        },
      },
      { extends: true, test: { name: 'scenarios', include: scenarioFiles } },
      {
        extends: true,
        test: { name: 'faults', include: ['test/faults/**/*.test.ts'], exclude: [longFaults] },
      },
    ],
  },
});

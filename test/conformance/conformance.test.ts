import { afterAll, beforeAll, describe, it } from 'vitest';
import { freshness } from './cases/freshness.ts';
import { requests } from './cases/requests.ts';
import { storing } from './cases/storing.ts';
import { validation } from './cases/validation.ts';
import { Bench } from './runner.ts';

describe.each([
  { workers: 1, groups: { freshness, storing, requests, validation } },
  { workers: 2, groups: { requests, validation } },
])('HTTP caching with $workers workers', ({ workers, groups }) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(workers);
  });
  afterAll(() => bench.stop());

  for (const [group, cases] of Object.entries(groups)) {
    describe(group, () => {
      for (const each of cases) it(`${each.level}: ${each.name}`, () => bench.play(each));
    });
  }
});

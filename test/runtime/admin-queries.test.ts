import { expect, it } from 'vitest';
import { fenceSize } from '../../proxy/fence/layout.ts';
import { adminQueries, type AdminQueriesDependencies } from '../../proxy/runtime/admin-queries.ts';
import { configOf } from '../config/load.ts';
import { entry } from '../store/disk/support/entries.ts';

it('a dry run that finds nothing ends in bounded time, and reports that it is not complete', async () => {
  let nowMs = 0;
  const disk = {
    async *scan() {
      for (; nowMs < 60_000; nowMs += 3) yield [];
    },
  };
  const { findEntries } = adminQueries({
    clock: { monotonicMs: () => nowMs },
    fence: { buffer: new SharedArrayBuffer(4096) },
    pool: { find: async () => ({ answers: [], silent: [] }) },
    disk,
  } as unknown as AdminQueriesDependencies);
  expect(await findEntries(['tag:rare'])).toEqual({ entries: 0, sample: [], complete: false });
  expect(nowMs).toBeLessThan(11_000);
});

it('an entry that workers know in different states is shown as it was confirmed last', async () => {
  const config = configOf(
    '{ origins: { shop: { url: "http://a" } }, routes: [{ name: things, match: /* }] }',
  );
  const [old, confirmed] = [entry(1, { floor: 3, tags: ['tag:a'] }), entry(1, { floor: 8, tags: ['tag:b'] })];
  const { entries } = adminQueries({
    clock: { monotonicMs: () => 0, nowMs: () => 3_000 },
    fence: { buffer: new SharedArrayBuffer(fenceSize(1_000).words * 4) },
    pool: {
      entries: async () => ({
        answers: [
          { memory: [confirmed], disk: [] },
          { memory: [old], disk: [old] },
        ],
        silent: [],
      }),
    },
    config: () => config,
    trustOf: () => 'untracked',
  } as unknown as AdminQueriesDependencies);
  const result = await entries({ authority: null, path: '/things/1', query: '' }, [], 'http');
  if (result.kind !== 'report') throw new Error(result.kind);
  expect(result.report.entries).toMatchObject([{ floor: 8, levels: ['memory', 'disk'], tags: ['b', 'a'] }]);
});

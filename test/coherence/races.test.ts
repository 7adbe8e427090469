import { describe, expect, it } from 'vitest';
import { tagOfUrl } from '../../policies/tags.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';
import { settle } from '../support/barrier.ts';
import { race } from './race.ts';
import { ownTag, RaceWorld } from './race-world.ts';

const URL_OF_A = tagOfUrl(null, '/a', '');

describe('fetches that two workers share, 304s, purges, evictions and crashes in any order', () => {
  it('serve no response older than an invalidation that was answered before the request began', async () => {
    const { found, report, answered, confirmed } = await race(ALL_MECHANISMS, 300);
    expect(found, report).toBe(false);
    expect(answered).toBeGreaterThan(300);
    expect(confirmed).toBeGreaterThan(30);
  });
});

/** A world in which the test chooses the next event. */
async function directed(mechanisms: Mechanisms) {
  const waiting: { readonly what: string; act(): void }[] = [];
  const world = await RaceWorld.begin((what, act) => waiting.push({ what, act }), mechanisms);
  /** Runs the first waiting event of this name, once everything else that is ready has run. */
  const next = async (what: string): Promise<void> => {
    await settle();
    const at = waiting.findIndex((each) => each.what === what);
    if (at < 0)
      throw new Error(
        `no event "${what}" among those that wait: ${waiting.map((each) => each.what).join(', ')}`,
      );
    waiting.splice(at, 1)[0]!.act();
    await settle();
  };
  const all = async (): Promise<void> => {
    await settle();
    while (waiting.length > 0) await next(waiting[0]!.what);
  };
  return { world, next, all };
}

describe('an entry on its way to the disk', () => {
  it('is found by a worker that has it neither in memory nor on disk', async () => {
    const { world, next } = await directed(ALL_MECHANISMS);
    const owner = 1;
    const first = world.get(owner, '/a');
    await next('the origin reads');
    await next('the head arrives');
    await next('the content arrives');
    expect(await first).toBe(200);
    const other = world.get(1 - owner, '/a', ['Cache-Control', 'only-if-cached']);
    await next('a message arrives');
    await next('a message arrives');
    expect(await other).toBe(200);
  });
});

describe('a 304 for an entry that was replaced meanwhile', () => {
  /** The violations where the content of an older flight replaces an entry before the 304 for it arrives. */
  async function servedBehind(mechanisms: Mechanisms): Promise<readonly string[]> {
    const { world, next, all } = await directed(mechanisms);
    const owner = 1;
    void world.get(owner, '/a');
    await all();
    void world.change('/a', 1, [URL_OF_A]);
    await all();
    void world.get(owner, '/a');
    await next('the origin reads');
    // The value that it has read is changed back before its answer arrives.
    void world.change('/a', 0, [URL_OF_A]);
    await next('commit');
    void world.get(owner, '/a');
    await next('the origin reads');
    await next('the head arrives');
    await next('the content arrives');
    await next('the head arrives');
    expect(world.origin.confirmed).toBe(1);
    void world.get(owner, '/a');
    await all();
    return world.violations;
  }

  it('does not confirm the entry in its place', async () => {
    expect(await servedBehind(ALL_MECHANISMS)).toEqual([]);
  });

  it('would confirm that entry if it were matched by variant, not by id', async () => {
    const found = await servedBehind({ ...ALL_MECHANISMS, entryIdInNotModified: false });
    const stale: unknown = expect.stringContaining('/a is 1, though version 2 was announced');
    // For the client whose request was confirmed, and for the one after it.
    expect(found).toEqual([stale, stale]);
  });
});

describe('a 304 that adds a tag', () => {
  it.each([0, 1])(
    'reaches every copy of the entry before a client of worker %i sees the tag',
    async (asked) => {
      const world = await RaceWorld.begin((_what, act) => setImmediate(act), ALL_MECHANISMS);
      for (const worker of [0, 1]) await world.get(worker, '/a');
      world.retag('/a');
      await world.get(asked, '/a', ['Cache-Control', 'no-cache']);
      expect(world.isTagShown('/a')).toBe(true);
      await world.change('/a', 1, [ownTag('/a')]);
      for (const worker of [1, 0]) await world.get(worker, '/a');
      expect(world.violations).toEqual([]);
      expect(world.origin.confirmed).toBe(1);
    },
  );
});

describe('the checker finds a violation without', () => {
  it.each([
    ['floorAtUse', 1],
    ['arrivalInFlights', 1],
    ['durableBeforeAnswer', 1],
    ['reservedBlocks', 11],
    ['entryIdInNotModified', 7],
  ] as const)('%s', async (name, seed) => {
    const { found } = await race({ ...ALL_MECHANISMS, [name]: false }, 20_000, seed);
    expect(found).toBe(true);
  });
});

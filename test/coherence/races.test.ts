import { describe, expect, it } from 'vitest';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { race } from './race.ts';

describe('fills, joins from two workers, 304s, purges, evictions and crashes in whatever order', () => {
  it('serve nothing that is older than what was invalidated before the request began', async () => {
    const { found, report, answered, confirmed } = await race(ALL_MECHANISMS, 300);
    expect(found, report).toBe(false);
    expect(answered).toBeGreaterThan(300);
    expect(confirmed).toBeGreaterThan(30);
  });
});

describe('the checker finds what breaks without', () => {
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

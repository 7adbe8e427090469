import { describe, expect, it } from 'vitest';
import { decideRestart, MAIN_HEAP_OPTIONS } from '../../proxy/runtime/bounded-memory.ts';

const START = { platform: 'linux', execArgv: [], env: {}, hasChannel: false };

describe('a process whose memory has to be bounded', () => {
  it('is started again with the bounds, and keeps its other options', () => {
    const start = { ...START, execArgv: ['--import', './spy.mjs'], env: { HOME: '/' } };
    expect(decideRestart(start)).toEqual({
      execArgv: [...MAIN_HEAP_OPTIONS, '--import', './spy.mjs'],
      env: {
        HOME: '/',
        MALLOC_ARENA_MAX: '2',
        MALLOC_TRIM_THRESHOLD_: '131072',
        MALLOC_MMAP_THRESHOLD_: '262144',
      },
    });
  });

  it('is started again only once', () => {
    const again = decideRestart(START)!;
    expect(decideRestart({ ...START, ...again })).toBeNull();
  });

  it.each([
    ['its command line', { execArgv: ['--max_semi_space_size=16'] }],
    ['NODE_OPTIONS', { env: { NODE_OPTIONS: '--trace-warnings --max-semi-space-size=16' } }],
  ])('keeps a bound that is set in %s', (_, given) => {
    const { execArgv } = decideRestart({ ...START, ...given })!;
    expect(execArgv.filter((option) => /^--max.semi/.test(option) && !option.endsWith('=16'))).toEqual([]);
  });

  it('keeps a number of malloc arenas that is set', () => {
    const env = { MALLOC_ARENA_MAX: '4' };
    expect(decideRestart({ ...START, env })).toMatchObject({ env });
    expect(decideRestart({ ...START, env, execArgv: MAIN_HEAP_OPTIONS })).toBeNull();
  });

  it('is not started again on other platforms, or with a channel to its parent', () => {
    expect(decideRestart({ ...START, platform: 'darwin' })).toBeNull();
    expect(decideRestart({ ...START, hasChannel: true })).toBeNull();
  });
});

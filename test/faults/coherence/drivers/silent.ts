import type { Driver } from '../driver.ts';

/**
 * Nobody tells Weir of a change. Where `binds`, a request must see it all the same, for nothing of the origin's answers may
 * be used again without asking.
 */
export const silentDriver = (binds: boolean) => (): Driver => ({
  name: 'silent',
  feed: null,
  faults: [],
  publish: () => Promise.resolve({ position: null, isInForce: binds }),
  stop: () => Promise.resolve(),
});

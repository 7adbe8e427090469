import type { Driver } from '../driver.ts';

/**
 * Weir gets no notice of a change. `binds`: requests must see the change all the same, because none of the origin's
 * answers may be reused without validation.
 */
export const silentDriver = (binds: boolean) => (): Driver => ({
  name: 'silent',
  feed: null,
  faults: [],
  publish: () => Promise.resolve({ position: null, isInForce: binds }),
  stop: () => Promise.resolve(),
});

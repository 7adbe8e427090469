import { request } from 'undici';
import type { Driver, Target } from '../driver.ts';

/** No feed: the writer purges by tag and believes the answer. */
export function purgeDriver(target: Target): Driver {
  return {
    name: 'purge',
    feed: null,
    faults: [],
    async publish(keys) {
      const body = JSON.stringify({ tags: keys.map((key) => `k:${key}`) });
      try {
        const response = await request(`${target.adminUrl}/purge`, { method: 'POST', body });
        await response.body.dump();
        return { position: null, isInForce: response.statusCode === 200 };
      } catch {
        // Weir is down: nothing was promised.
        return { position: null, isInForce: false };
      }
    },
    stop: () => Promise.resolve(),
  };
}

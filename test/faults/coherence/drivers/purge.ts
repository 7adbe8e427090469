import { request } from 'undici';
import type { Driver, Target } from '../driver.ts';
import { untilDone } from './retrying.ts';

/** No feed: the writer repeats a purge by tag until it is answered with 200, and the change then counts as in force. */
export function purgeDriver(target: Target): Driver {
  return {
    name: 'purge',
    feed: null,
    faults: [],
    async publish(keys) {
      const body = JSON.stringify({ tags: keys.map((key) => `k:${key}`) });
      await untilDone(async () => {
        const response = await request(`${target.adminUrl}/purge`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        await response.body.dump();
        if (response.statusCode !== 200) throw new Error(`the purge was answered ${response.statusCode}`);
      });
      return { position: null, isInForce: true };
    },
    stop: () => Promise.resolve(),
  };
}

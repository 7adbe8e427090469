import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { webhookFeed } from '../../../../origin-adapters/feeds/webhook.ts';
import { signedDelivery, webhookSecret } from '../../../feeds/deliveries.ts';
import type { Driver, Target } from '../driver.ts';

const TRIES = 200;
const PAUSE_MS = 50;

/** A sender that repeats each delivery until it is answered with 204, and sends some twice and some concurrently. */
export function webhookDriver(target: Target): Driver {
  const random = target.random.fork();
  let delayMs = 0;
  const send = async (delivery: ReturnType<typeof signedDelivery>): Promise<number> => {
    const headers: Record<string, string> = {};
    for (let i = 0; i < delivery.fields.length; i += 2)
      headers[delivery.fields[i]!] = delivery.fields[i + 1]!;
    const response = await request(`${target.url}/hooks`, {
      method: 'POST',
      headers,
      body: Buffer.from(delivery.body),
    });
    await response.body.dump();
    return response.statusCode;
  };
  const deliver = async (delivery: ReturnType<typeof signedDelivery>): Promise<boolean> => {
    for (let i = 0; i < TRIES; i += 1) {
      try {
        if ((await send(delivery)) === 204) return true;
      } catch {
        // Weir is down: the next attempt follows.
      }
      await delay(PAUSE_MS);
    }
    return false;
  };
  return {
    name: 'webhook',
    feed: {
      yaml: `type: webhook, path: /hooks, secret: "${webhookSecret}"`,
      adapter: webhookFeed,
      pushDelayMs: 0,
    },
    async publish(keys) {
      const delivery = signedDelivery(keys.map((key) => ({ key })));
      if (random.below(4) === 0) await delay(random.between(0, 40));
      await delay(delayMs);
      const isInForce = await deliver(delivery);
      if (random.below(4) === 0) void deliver(delivery);
      return { position: null, isInForce };
    },
    faults: [
      {
        name: 'delayed while busy',
        async happen(chance) {
          delayMs = chance.between(500, 1_500);
          await delay(3_000);
          delayMs = 0;
        },
      },
    ],
    stop: () => Promise.resolve(),
  };
}

import { describe, it } from 'vitest';
import { purgeDriver } from './drivers/purge.ts';
import { sseDriver } from './drivers/sse.ts';
import { webhookDriver } from './drivers/webhook.ts';
import { expectCoherent } from './expectations.ts';
import { seedOf } from './random.ts';
import { run } from './run.ts';

const durationMs = 2_000;

describe('coherence: no response is older than an invalidation that was in force when its request began', () => {
  it('with purges, while a worker dies', async () => {
    const seed = seedOf('purge');
    expectCoherent(await run({ seed, durationMs, driver: purgeDriver, weirFaults: ['worker'] }));
  });

  it('with server-sent events, while the server is cut and restarted', async () => {
    const seed = seedOf('sse');
    const driverFaults = ['cut', 'restarted'];
    expectCoherent(await run({ seed, durationMs, driver: sseDriver, weirFaults: [], driverFaults }));
  });

  it('with webhooks, delivered twice and out of order', async () => {
    const seed = seedOf('webhook');
    expectCoherent(await run({ seed, durationMs, driver: webhookDriver, weirFaults: [], proves: false }));
  });
});

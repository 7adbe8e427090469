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
    // Few changes, so that on a busy machine, too, something is used again between two of them.
    const options = { weirFaults: [], driverFaults: ['cut', 'restarted'], writerPauseMs: 200 } as const;
    expectCoherent(await run({ seed, durationMs, driver: sseDriver, ...options }));
  });

  it('with webhooks, delivered twice and out of order', async () => {
    const seed = seedOf('webhook');
    const options = { weirFaults: [], driverFaults: [], proves: false } as const;
    expectCoherent(await run({ seed, durationMs, driver: webhookDriver, ...options }));
  });
});

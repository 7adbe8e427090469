import { describe, it } from 'vitest';
import { PERSONAL, TURNING } from './characters.ts';
import { purgeDriver } from './drivers/purge.ts';
import { sseDriver } from './drivers/sse.ts';
import { webhookDriver } from './drivers/webhook.ts';
import { expectCoherent, expectLearnt } from './expectations.ts';
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
    // Few changes, so that responses are reused between two of them on a busy machine, too.
    const options = { weirFaults: [], driverFaults: ['cut', 'restarted'], writerPauseMs: 200 } as const;
    expectCoherent(await run({ seed, durationMs, driver: sseDriver, ...options }));
  });

  it('with webhooks, delivered twice and out of order', async () => {
    const seed = seedOf('webhook');
    const options = { weirFaults: [], driverFaults: [], proves: false } as const;
    expectCoherent(await run({ seed, durationMs, driver: webhookDriver, ...options }));
  });

  it('with purges, of an origin whose variants share validators', async () => {
    const origin = { character: 'varying' } as const;
    const options = { driver: purgeDriver, origin, weirFaults: [], writerPauseMs: 200 } as const;
    expectCoherent(await run({ seed: seedOf('varying'), durationMs, ...options }));
  });

  it('of an origin whose pages turn into other pages, 404s and errors', async () => {
    const result = await run({ seed: seedOf('turning'), durationMs, weirFaults: [], ...TURNING });
    expectCoherent(result);
    expectLearnt(result);
  });

  it('of an origin with private responses that take a different time for each user', async () => {
    const result = await run({ seed: seedOf('personal'), durationMs, weirFaults: [], ...PERSONAL });
    expectCoherent(result);
    expectLearnt(result);
  });
});

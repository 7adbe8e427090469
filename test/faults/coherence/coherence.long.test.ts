import { describe, it } from 'vitest';
import { kafkaMockSkip } from '../../support/kafka-mock.ts';
import { requireProgram, type RequiredProgram } from '../../support/programs.ts';
import type { Driver, Target } from './driver.ts';
import { kafkaDriver } from './drivers/kafka.ts';
import { natsDriver } from './drivers/nats.ts';
import { postgresDriver } from './drivers/postgres.ts';
import { purgeDriver } from './drivers/purge.ts';
import { redisDriver } from './drivers/redis.ts';
import { sseDriver } from './drivers/sse.ts';
import { webhookDriver } from './drivers/webhook.ts';
import { expectCoherent, expectLearnt } from './expectations.ts';
import { seedOf } from './random.ts';
import { run, type RunOptions } from './run.ts';
import { PERSONAL, TURNING } from './characters.ts';

const durationMs = Number(process.env['WEIR_COHERENCE_SECONDS'] ?? 60) * 1_000;
const redis = requireProgram('redis-server');
const nats = requireProgram('nats-server');
const initdb = requireProgram('initdb');
const postgres = requireProgram('postgres');
const all = ['kill', 'worker', 'stop'] as const;

function path(program: RequiredProgram): string {
  return program.kind === 'found' ? program.path : '';
}

type MakeDriver = (target: Target) => Driver | Promise<Driver>;

const modes: readonly (readonly [
  name: string,
  skip: boolean,
  driver: MakeDriver,
  more?: Partial<RunOptions>,
])[] = [
  ['purge', false, purgeDriver],
  ['sse', false, sseDriver],
  ['webhook', false, webhookDriver, { proves: false }],
  ['redis-stream', redis.kind === 'missing', redisDriver(path(redis))],
  ['nats', nats.kind === 'missing', natsDriver(path(nats))],
  ['kafka', kafkaMockSkip() !== null, kafkaDriver, { maxSilenceMs: 2_000 }],
  [
    'postgres',
    initdb.kind === 'missing' || postgres.kind === 'missing',
    postgresDriver(initdb, postgres),
    { readLagMs: 50 },
  ],
];

describe('coherence under every fault', () => {
  for (const [name, skip, driver, more] of modes) {
    it.skipIf(skip)(`with ${name}`, async () => {
      const seed = seedOf(name);
      expectCoherent(await run({ seed, durationMs, driver, weirFaults: all, ...more }));
    });
  }

  it('of an origin whose replicas lag, within read-lag', async () => {
    const seed = seedOf('read-lag');
    // Few changes, so that a response stored too early would be reused for long.
    const slow = { writers: 2, writerPauseMs: 1_000 };
    const options = { origin: { lagMs: 300 }, readLagMs: 300, weirFaults: all, ...slow } as const;
    expectCoherent(await run({ seed, durationMs, driver: sseDriver, ...options }));
  });

  it.each([
    ['as positions of the feed', 'attested', {}],
    ['as a field of the changes', 'attested-version', { versionField: 'version' }],
  ])(
    'of an origin whose replicas lag without a bound and attest their version, %s',
    async (_how, name, by) => {
      const seed = seedOf(name);
      // Few changes: an answer is current only where its replica shows every change that the feed has delivered.
      const slow = { writers: 1, writerPauseMs: 2_500 };
      const options = {
        origin: { lagMs: 800, versionHeader: 'X-Version' },
        weirFaults: all,
        ...slow,
        ...by,
      } as const;
      const driverFaults = ['cut', 'restarted', 'black hole', 'trimmed'];
      expectCoherent(await run({ seed, durationMs, driver: sseDriver, ...options, driverFaults }));
    },
  );

  it('of an origin that has only Last-Modified and changes twice a second', async () => {
    const seed = seedOf('last-modified');
    const options = { origin: { validator: 'last-modified' }, writers: 8, writerPauseMs: 800 } as const;
    expectCoherent(await run({ seed, durationMs, driver: sseDriver, weirFaults: all, ...options }));
  });

  it.each([
    ['purge', purgeDriver],
    ['sse', sseDriver],
  ])('of an origin whose variants share validators, with %s', async (name, driver) => {
    const seed = seedOf(`varying-${name}`);
    const origin = { character: 'varying' } as const;
    expectCoherent(await run({ seed, durationMs, driver, origin, weirFaults: all, writerPauseMs: 300 }));
  });

  it('of an origin whose pages turn into other pages, 404s and errors', async () => {
    const result = await run({ seed: seedOf('turning'), durationMs, weirFaults: all, ...TURNING });
    expectCoherent(result);
    expectLearnt(result);
  });

  it('of an origin with private responses that take a different time for each user', async () => {
    const result = await run({ seed: seedOf('personal'), durationMs, weirFaults: all, ...PERSONAL });
    expectCoherent(result);
    expectLearnt(result);
  });
});

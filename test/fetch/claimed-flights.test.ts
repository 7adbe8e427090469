import { MessageChannel } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { createFlightClaims, flightClaimsBuffer } from '../../proxy/fetch/flight-claims.ts';
import { PeerFetchClient, type PeerFetchClientDependencies } from '../../proxy/fetch/peers/client.ts';
import type { PeerMessage } from '../../proxy/fetch/peers/messages.ts';
import { PeerPorts, type PeerDependencies } from '../../proxy/fetch/peers/peers.ts';
import { PeerFetchServer, type PeerFetchServerDependencies } from '../../proxy/fetch/peers/server.ts';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import { KeyedHash } from '../../proxy/threads/keyed-hash.ts';
import { settle } from '../support/barrier.ts';
import { startWorkers, type OriginAnswer } from './workers.ts';

const HASH = new KeyedHash(Uint32Array.of(1, 2, 3, 4));
const SHARED: OriginAnswer = { fields: ['Cache-Control', 'max-age=60'], body: 'content' };

/**
 * A disk that stores nothing, so that entries are in memory only. With a disk, flights run in the worker that
 * claims them.
 */
const FULL_DISK: DiskTier = {
  find: () => [],
  heads: () => [],
  underWay: () => [],
  isUnderWayElsewhere: () => false,
  read: () => null,
  pin: () => () => {},
  begin: () => null,
  update: async () => {},
  updateSynced: async () => true,
  remove: async () => true,
  discard: async () => {},
  hide: () => {},
  touch: () => {},
};

const start = (count: number) =>
  startWorkers(count, '', '', (deps) => ({ ...deps, disk: { tier: FULL_DISK, corrupt: () => 0 } }));

it('a miss that no other worker asks for costs no message, in any worker', async () => {
  const scene = await start(2);
  for (let i = 0; i < 20; i += 1) {
    const answer = scene.ask(i % 2, `/item-${i}`);
    await scene.answerAll(() => SHARED);
    expect((await answer).body).toBe('content');
  }
  expect(scene.origin.requests).toHaveLength(20);
  expect(scene.sent()).toBe(0);
});

it('clients of all workers share the flight of the worker that was asked first', async () => {
  const scene = await start(3);
  for (const path of ['/a', '/b', '/c', '/d']) {
    const answers = [2, 0, 1, 2, 0].map((worker) => scene.ask(worker, path));
    await scene.answerAll(() => SHARED);
    expect((await Promise.all(answers)).map(({ body }) => body)).toEqual(answers.map(() => 'content'));
  }
  expect(scene.origin.requests.map(({ path }) => path)).toEqual(['/a', '/b', '/c', '/d']);
});

it('a client whose worker asks for a flight that has just ended joins the next one, of another worker', async () => {
  const scene = await start(3);
  const first = scene.ask(0, '/a');
  await settle();
  // The message of worker 1 is in transit while the flight of worker 0 ends and worker 2 claims the next one.
  const late = scene.ask(1, '/a');
  scene.origin.answerOne(() => ({ kind: 'connection_terminated', status: 502 }));
  const next = scene.ask(2, '/a');
  await scene.answerAll(() => SHARED);

  expect((await first).status).toBe(502);
  expect((await late).body).toBe('content');
  expect((await next).body).toBe('content');
  expect(scene.origin.requests).toHaveLength(2);
});

it('a worker without the claim of a key fetches nothing for another worker, which then looks up the claim again', () => {
  const sent: PeerMessage[] = [];
  const asked: unknown[] = [];
  const deps = {
    flights: () => ({ join: (request: unknown) => void asked.push(request) }),
    tiers: { find: () => ({ entry: null, miss: 'uri-miss' }) },
    peers: { claimFlight: () => ({}), releaseFlight: () => {} },
    routeNamed: () => null,
  };
  const join = { kind: 'join', id: 7, fetch: { key: 'a', request: {} } };
  const server = new PeerFetchServer(
    deps as unknown as PeerFetchServerDependencies,
    join as never,
    (message) => void sent.push(message),
    () => {},
  );
  server.start();
  expect(sent).toEqual([{ kind: 'moved', id: 7 }]);
  expect(asked).toEqual([]);

  const events: string[] = [];
  const client = new PeerFetchClient(
    {} as PeerFetchClientDependencies,
    { id: 7, request: { key: 'a' } } as never,
    {
      inform: () => {},
      deliver: ({ kind }) => events.push(kind),
      over: () => events.push('over'),
    },
    () => {},
  );
  client.receive(sent[0]!);
  expect(events).toEqual(['owner-moved', 'over']);
});

it.each([
  ['asks the worker that has just stored an entry', 1],
  ['asks the origin itself where no worker has stored one', null],
])('a worker that claims a key after its lookup %s', (_, holder) => {
  const claims = createFlightClaims(flightClaimsBuffer(), 0, HASH);
  const deps = { flightClaims: claims, holderOf: () => holder } as unknown as PeerDependencies;
  const peers = new PeerPorts(0, 2, HASH, deps);
  const { port1, port2 } = new MessageChannel();
  peers.connect(1, port1);
  const claim = peers.claimFlight('a');
  expect(claim === peers.at(1)).toBe(holder === 1);
  // A claim that is not used is released.
  expect(claims.claim('a')).toBe(holder === 1 ? 'new' : 'own');
  port1.close();
  port2.close();
});

it('a failure of the origin answers clients of all workers while it is remembered', async () => {
  const scene = await start(3);
  const waiting = [0, 0, 1].map((worker) => scene.ask(worker, '/a'));
  await scene.answerAll(() => ({ kind: 'connection_refused', status: 502 }));
  await Promise.all(waiting);
  const later = [2, 1, 0].map((worker) => scene.ask(worker, '/a'));
  await scene.answerAll(() => SHARED);

  expect((await Promise.all(later)).map(({ status }) => status)).toEqual([502, 502, 502]);
  expect(scene.origin.requests).toHaveLength(1);
});

it('a key causes two requests at once at most, however often it is invalidated while workers ask', async () => {
  const scene = await start(3);
  const answers: Promise<unknown>[] = [];
  for (let round = 0; round < 60; round += 1) {
    for (let worker = 0; worker < 3; worker += 1) answers.push(scene.ask(worker, '/a'));
    await scene.fence.invalidate({ tags: ['url:/a'], mode: 'hard' });
    if (round % 3 === 0) await settle();
    if (round % 2 === 0) scene.origin.answerOne(() => SHARED);
  }
  await scene.answerAll(() => SHARED);
  await Promise.all(answers);
  expect(scene.origin.maxRunning).toBeLessThanOrEqual(2);
});

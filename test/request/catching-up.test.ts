/**
 * Tests that a request is correct while a feed catches up. The feed is lost when the request arrives, and the
 * origin has made a change that Weir has not received. The worker is stopped at each of its reads of a clock;
 * there the feed catches up: the change comes into force, and then the proof is renewed.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import { tagOfUrl } from '../../policies/tags.ts';
import { HealthCells } from '../../proxy/feeds/health-cells.ts';
import type { FeedState } from '../../proxy/feeds/sink.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { settle } from '../support/barrier.ts';
import { startWorkers, type Answered, type OriginResult, type Workers } from '../fetch/workers.ts';

const FEED = 'feeds: { changes: { type: sse, url: "http://shop/changes", map: [] } }';
const ROUTE = 'freshness: until-changed, feed: changes';
const OLD = { fields: ['ETag', '"1"'], body: 'old' };
const NEW = { fields: ['ETag', '"2"'], body: 'new' };

afterEach(() => vi.restoreAllMocks());

function setFeed({ clock, feeds }: Workers, state: FeedState): void {
  new HealthCells(feeds['changes']!.health).set({ state, silentSinceMonotonicMs: clock.now }, clock);
}

interface Stopped {
  readonly scene: Workers;
  /** Starts the count of clock reads; called where nothing is stored at first. */
  readonly arm: () => void;
  /** How often the clocks were read since the feed was lost. */
  readonly looks: () => number;
  /** Whether a verdict has been given since the change came into force. */
  readonly isJudgedSince: () => boolean;
}

/**
 * Workers that all have an entry. The feed is lost, and catches up at the clock read with the number `look`.
 */
async function stoppedAt(look: number, more: string, workers = 1, isStored = true): Promise<Stopped> {
  const scene = await startWorkers(workers, `${ROUTE}${more}`, FEED);
  const { clock, fence } = scene;
  setFeed(scene, 'live');
  const having = isStored ? workers : 0;
  for (let worker = 0; worker < having; worker += 1) {
    const first = scene.ask(worker, '/');
    await scene.answerAll(() => OLD);
    await first;
  }
  const words = new Int32Array(fence.buffer);
  const before = words.slice();
  await fence.invalidate({ tags: [tagOfUrl(null, '/', '')], mode: 'hard' });
  const after = words.slice();
  words.set(before);
  clock.now += 1_000;
  setFeed(scene, 'lost');
  let looks = 0;
  let isCaughtUp = false;
  let isJudgedSince = false;
  let isArmed = isStored;
  const step = (): void => {
    if (!isArmed) return;
    looks += 1;
    if (looks !== look + 1 || isCaughtUp) return;
    isCaughtUp = true;
    words.set(after);
    setFeed(scene, 'live');
  };
  const { nowMs, monotonicMs } = clock;
  clock.nowMs = () => (step(), nowMs.call(clock));
  clock.monotonicMs = () => (step(), monotonicMs.call(clock));
  const { verdict } = FenceReader.prototype;
  vi.spyOn(FenceReader.prototype, 'verdict').mockImplementation(function (this: FenceReader, entry) {
    if (isCaughtUp) isJudgedSince = true;
    return verdict.call(this, entry);
  });
  return { scene, arm: () => (isArmed = true), looks: () => looks, isJudgedSince: () => isJudgedSince };
}

/** Runs `run` once for every clock read that it takes, and once with the feed lost until the end. */
async function atEachLook(run: (look: number) => Promise<Stopped>): Promise<void> {
  let most = 1;
  for (let look = 0; look <= most; look += 1) {
    const { looks } = await run(look);
    vi.restoreAllMocks();
    most = Math.max(most, Math.min(looks(), 200));
  }
}

const isOld = ({ status, body, fields }: Answered): boolean =>
  status === 304 ? fieldValue(fields, 'etag') === '"1"' : body !== '' && 'old'.includes(body);

const REQUESTS: readonly (readonly [string, string, Fields])[] = [
  ['GET', 'GET', []],
  ['HEAD', 'HEAD', []],
  ['a range', 'GET', ['Range', 'bytes=0-1']],
  ['a 304', 'GET', ['If-None-Match', '"1"']],
];
const MODES = ['revalidate', 'bypass'];

describe.each(MODES)('on-feed-loss: %s', (mode) => {
  it.each(REQUESTS)(
    '%s is never answered with a state older than the change',
    async (_name, method, fields) => {
      await atEachLook(async (look) => {
        const stopped = await stoppedAt(look, `, on-feed-loss: ${mode}, stale-while-revalidate: 60s`);
        const asked = stopped.scene.ask(0, '/', { method, fields });
        await stopped.scene.answerAll(() => NEW);
        const answer = await asked;
        expect(isOld(answer)).toBe(false);
        if (method === 'HEAD') expect(fieldValue(answer.fields, 'etag')).toBe('"2"');
        return stopped;
      });
    },
  );

  it.each(REQUESTS)(
    '%s is never answered by a stand-in that the fence judged before the change',
    async (_name, method, fields) => {
      await atEachLook(async (look) => {
        const stopped = await stoppedAt(look, `, on-feed-loss: ${mode}, stale-if-error: 60s`);
        const asked = stopped.scene.ask(0, '/', { method, fields });
        await stopped.scene.answerAll((): OriginResult => ({ status: 503 }));
        const answer = await asked;
        if (answer.status === 503) return stopped;
        // The change is not in force yet when the last verdict is given, and the answer says that it is stale.
        expect(fieldValue(answer.fields, 'cache-status')).toContain('stale-if-error');
        expect([mode, stopped.isJudgedSince()]).toEqual(['revalidate', false]);
        return stopped;
      });
    },
  );

  it.each([1, 2])('no follower of a flight gets an older state, with %i worker(s)', async (workers) => {
    await atEachLook(async (look) => {
      const stopped = await stoppedAt(look, `, on-feed-loss: ${mode}`, workers, false);
      const { scene } = stopped;
      // The leader asks the origin before the change; the followers join after it.
      const leader = scene.ask(0, '/');
      await settle();
      scene.clock.now += 10;
      stopped.arm();
      const late = Array.from({ length: 3 }, (_, i) => scene.ask(i % workers, '/'));
      await settle();
      let asked = 0;
      await scene.answerAll(() => (asked++ === 0 ? OLD : NEW));
      await leader;
      if (mode === 'revalidate') for (const { body } of await Promise.all(late)) expect(body).toBe('new');
      expect(scene.origin.maxRunning).toBeLessThanOrEqual(mode === 'revalidate' ? 2 : 4);
      return stopped;
    });
  });

  it('no entry from another worker is older than the change', async () => {
    await atEachLook(async (look) => {
      const stopped = await stoppedAt(look, `, on-feed-loss: ${mode}`, 2);
      const { scene } = stopped;
      const { tiers } = scene.runtimes[1]!;
      for await (const { head } of tiers.memory.scan()) tiers.memory.remove(head.key, head.id);
      const asked = scene.ask(1, '/');
      await scene.answerAll(() => NEW);
      expect((await asked).body).toBe('new');
      return stopped;
    });
  });
});

it('a stand-in is judged by the state that the feed has when the origin fails', async () => {
  const scene = await startWorkers(
    1,
    `${ROUTE}, on-feed-loss: bypass, max-ttl: 10s, stale-if-error: 60s`,
    FEED,
  );
  setFeed(scene, 'live');
  const first = scene.ask(0, '/');
  await scene.answerAll(() => OLD);
  await first;
  scene.clock.now += 20_000;
  setFeed(scene, 'live');
  const asked = scene.ask(0, '/');
  await settle();
  setFeed(scene, 'lost');
  await scene.answerAll((): OriginResult => ({ status: 503 }));
  expect((await asked).status).toBe(503);
});

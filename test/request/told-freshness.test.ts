/**
 * RFC 9111 §4.2, RFC 9213 §2.2: tests how fresh answers look to caches behind Weir, for each source of a
 * lifetime, each rewriting of fields and each way of serving. To a reader of the fields an answer is stale
 * where Weir calls it stale, and fresh for no longer than Weir treats it as fresh.
 */
import { describe, expect, it } from 'vitest';
import { parseHttpDate } from '../../policies/http/dates.ts';
import { fieldValue, fieldValues, type Fields } from '../../policies/http/fields.ts';
import { tagOfUrl } from '../../policies/tags.ts';
import { HealthCells } from '../../proxy/feeds/health-cells.ts';
import type { FeedState } from '../../proxy/feeds/sink.ts';
import { settle } from '../support/barrier.ts';
import { startWorkers, type Answered, type OriginAnswer, type Workers } from '../fetch/workers.ts';

/**
 * How long Weir treats an entry as fresh, and why. The clocks of the origin and of Weir begin at START_MS.
 */
interface Source {
  readonly name: string;
  readonly route: string;
  readonly fields: (dateMs: number) => Fields;
  readonly seconds: number;
  /** The response's own lifetime. */
  readonly ownSeconds: number;
}

const START_MS = 1_700_000_000_000;
const date = (ms: number): string => new Date(ms).toUTCString();
const maxAge = (seconds: number) => () => ['Cache-Control', `max-age=${seconds}`];
const modified = (dateMs: number) => ['Last-Modified', date(dateMs - 6_000_000)];

const SOURCES: readonly Source[] = [
  { name: 'max-age', route: '', fields: maxAge(600), seconds: 600, ownSeconds: 600 },
  {
    name: 's-maxage',
    route: '',
    fields: () => ['Cache-Control', 'max-age=60, s-maxage=600'],
    seconds: 600,
    ownSeconds: 600,
  },
  {
    name: 'Expires',
    route: '',
    fields: (dateMs) => ['Expires', date(dateMs + 600_000)],
    seconds: 600,
    ownSeconds: 600,
  },
  { name: 'heuristic', route: '', fields: modified, seconds: 600, ownSeconds: 600 },
  {
    name: 'a targeted field',
    route: '',
    fields: () => ['Cache-Control', 'max-age=60', 'CDN-Cache-Control', 'max-age=600'],
    seconds: 600,
    ownSeconds: 600,
  },
  { name: 'default-ttl', route: 'default-ttl: 400s', fields: modified, seconds: 400, ownSeconds: 400 },
  {
    name: 'default-ttl without Last-Modified',
    route: 'default-ttl: 400s',
    fields: () => [],
    seconds: 400,
    ownSeconds: 400,
  },
  {
    name: 'fixed, longer',
    route: 'freshness: fixed, ttl: 3000s',
    fields: maxAge(600),
    seconds: 3000,
    ownSeconds: 600,
  },
  {
    name: 'fixed, shorter',
    route: 'freshness: fixed, ttl: 400s',
    fields: maxAge(600),
    seconds: 400,
    ownSeconds: 600,
  },
  {
    name: 'fixed, shorter than a heuristic lifetime',
    route: 'freshness: fixed, ttl: 400s',
    fields: modified,
    seconds: 400,
    ownSeconds: 600,
  },
  {
    name: 'until-changed',
    route: 'freshness: until-changed, feed: changes, max-ttl: 3000s',
    fields: maxAge(600),
    seconds: 3000,
    ownSeconds: 600,
  },
];

interface Downstream {
  readonly name: string;
  readonly route: string;
}

const DOWNSTREAM: readonly Downstream[] = [
  { name: 'nothing', route: '' },
  { name: 'cache-control', route: 'downstream: { cache-control: "max-age=300" }' },
  { name: 'cdn-cache-control', route: 'downstream: { cdn-cache-control: "max-age=300" }' },
  {
    name: 'both',
    route: 'downstream: { cache-control: "max-age=100", cdn-cache-control: "max-age=300" }',
  },
];

/** How long a reader may treat the answer as fresh. */
interface Reading {
  readonly freshSeconds: number;
  /** Whether a lifetime is stated, or may be guessed. */
  readonly isStated: boolean;
}

function seconds(value: string | undefined, name: string): number | null {
  const found = value === undefined ? null : new RegExp(`(?:^|[ ,])${name}=(\\d+)`).exec(value);
  return found === null ? null : Number(found[1]);
}

/** Reads as a shared cache that knows CDN-Cache-Control, as one that does not, or as a private cache. */
function read(fields: Fields, reader: 'cdn' | 'shared' | 'private'): Reading {
  // Where Weir sends a field twice, the last one is the most cautious.
  const targeted = reader === 'cdn' ? fieldValues(fields, 'cdn-cache-control').at(-1) : undefined;
  const control = targeted ?? fieldValues(fields, 'cache-control').at(-1);
  const dateMs = parseHttpDate(fieldValue(fields, 'date')!, START_MS)!;
  const expires = targeted === undefined ? fieldValue(fields, 'expires') : undefined;
  const lastModified = targeted === undefined ? fieldValue(fields, 'last-modified') : undefined;
  const guess =
    lastModified === undefined ? null : (dateMs - parseHttpDate(lastModified, START_MS)!) / 1000 / 10;
  const lifetime =
    (reader === 'private' ? null : seconds(control, 's-maxage')) ??
    seconds(control, 'max-age') ??
    (expires === undefined ? guess : (parseHttpDate(expires, START_MS)! - dateMs) / 1000);
  const age = Number(fieldValue(fields, 'age') ?? 0);
  return { freshSeconds: Math.max(0, (lifetime ?? 0) - age), isStated: lifetime !== null };
}

const READERS = ['cdn', 'shared', 'private'] as const;

function expectStale({ fields }: Answered): void {
  for (const reader of READERS) expect([reader, read(fields, reader).freshSeconds]).toEqual([reader, 0]);
}

/**
 * `heldSeconds`: how long Weir treats the answer as fresh from now on. `isAgeWhole`: the Age is the whole
 * age, so that for readers of Cache-Control the lifetime may already have ended.
 */
function expectFresh({ fields }: Answered, heldSeconds: number, isAgeWhole = false): void {
  const readings = READERS.map((reader) => read(fields, reader));
  for (const { freshSeconds } of readings) expect(freshSeconds).toBeLessThanOrEqual(heldSeconds);
  // The shorter of two lifetimes may have ended; the longest one that is stated has not.
  if (!isAgeWhole && readings.some(({ isStated }) => isStated)) {
    expect(Math.max(...readings.map(({ freshSeconds }) => freshSeconds))).toBeGreaterThan(0);
  }
}

const detailOf = ({ fields }: Answered): string => fieldValue(fields, 'cache-status')!;

class Scene {
  readonly workers: Workers;
  readonly source: Source;

  private constructor(workers: Workers, source: Source) {
    this.workers = workers;
    this.source = source;
  }

  static async begin(source: Source, { route }: Downstream, more = '', count = 1): Promise<Scene> {
    const keys = [source.route, more, route].filter((key) => key !== '').join(', ');
    const workers = await startWorkers(
      count,
      keys,
      `feeds: { changes: { type: sse, url: "http://shop/changes", map: [] } }`,
    );
    const scene = new Scene(workers, source);
    scene.feed('live');
    return scene;
  }

  feed(state: FeedState): void {
    const { clock, feeds } = this.workers;
    new HealthCells(feeds['changes']!.health).set({ state, silentSinceMonotonicMs: clock.now }, clock);
  }

  /** The origin's answer now. */
  get answer(): OriginAnswer {
    const { clock } = this.workers;
    const fields = ['Date', date(clock.now), ...this.source.fields(clock.now), 'ETag', '"1"'];
    return { fields, body: 'good' };
  }

  async ask(worker = 0, fields: Fields = [], method = 'GET'): Promise<Answered> {
    const asked = this.workers.ask(worker, '/', { fields, method });
    await this.workers.answerAll(() => this.answer);
    return asked;
  }

  /** The answer that is served while the origin does not answer. */
  async askAtOnce(fields: Fields = [], method = 'GET'): Promise<Answered> {
    const asked = this.workers.ask(0, '/', { fields, method });
    await settle();
    return asked;
  }

  pass(forSeconds: number): void {
    this.workers.clock.now += forSeconds * 1000;
    this.feed('live');
  }

  async purge(mode: 'hard' | 'soft'): Promise<void> {
    await this.workers.fence.invalidate({ tags: [tagOfUrl(null, '/', '')], mode });
  }
}

/** The same entry, served by each kind of response. */
const KINDS: readonly (readonly [string, Fields, string])[] = [
  ['GET', [], 'GET'],
  ['HEAD', [], 'HEAD'],
  ['a range', ['Range', 'bytes=0-1'], 'GET'],
  ['a 304', ['If-None-Match', '"1"'], 'GET'],
];

describe.each(SOURCES)('with a lifetime by $name', (source) => {
  describe.each(DOWNSTREAM)('and $name rewritten, an answer', (downstream) => {
    it.each(KINDS)('is fresh to others for no longer than here, by %s', async (_kind, fields, method) => {
      const scene = await Scene.begin(source, downstream);
      expectFresh(await scene.ask(), source.seconds);
      for (const age of [0, 1, 99, 250, source.seconds - 10, source.seconds - 1]) {
        scene.pass(age - (scene.workers.clock.now - START_MS) / 1000);
        const answer = await scene.askAtOnce(fields, method);
        expect(detailOf(answer)).toContain('weir; hit');
        expectFresh(answer, source.seconds - age, downstream.name === 'cdn-cache-control');
      }
    });

    it.each(KINDS)('is stale to others within stale-while-revalidate, by %s', async (_k, fields, method) => {
      const scene = await Scene.begin(source, downstream, 'stale-while-revalidate: 60s');
      await scene.ask();
      scene.pass(source.seconds + 5);
      const answer = await scene.askAtOnce(fields, method);
      expect(detailOf(answer)).toContain('detail=stale-while-revalidate');
      expectStale(answer);
    });

    it.each(KINDS)('is stale to others after a soft purge, by %s', async (_kind, fields, method) => {
      const scene = await Scene.begin(source, downstream, 'stale-while-revalidate: 60s');
      await scene.ask();
      scene.pass(5);
      await scene.purge('soft');
      const answer = await scene.askAtOnce(fields, method);
      expect(detailOf(answer)).toContain('detail=stale-while-revalidate');
      expectStale(answer);
    });

    it.each(KINDS)('is stale to others in place of an error, by %s', async (_kind, fields, method) => {
      const scene = await Scene.begin(source, downstream, 'stale-if-error: 60s');
      await scene.ask();
      scene.pass(source.seconds + 5);
      const asked = scene.workers.ask(0, '/', { fields, method });
      await scene.workers.answerAll(() => ({ status: 503 }));
      expect(detailOf(await asked)).toContain('detail=stale-if-error');
      expectStale(await asked);
    });

    it('is stale to others at a client\u2019s max-stale, where that is allowed', async () => {
      const scene = await Scene.begin(source, downstream, 'client-directives: honor');
      await scene.ask();
      scene.pass(source.seconds + 5);
      const wanted = ['Cache-Control', 'max-stale=60'];
      if (source.name === 's-maxage') {
        expectFresh(await scene.ask(0, wanted), source.seconds);
        return;
      }
      const answer = await scene.askAtOnce(wanted);
      expect(detailOf(answer)).toContain('detail=max-stale');
      expectStale(answer);
    });

    it('is stale to others where another worker sends an expired entry', async () => {
      const scene = await Scene.begin(source, downstream, 'stale-while-revalidate: 60s', 2);
      await scene.ask(0);
      scene.pass(source.seconds + 5);
      const asked = scene.workers.ask(1, '/');
      await settle();
      expect(detailOf(await asked)).toContain('detail=stale-while-revalidate');
      expectStale(await asked);
    });

    it('is stale to others where it expires on its way from another worker', async () => {
      const scene = await Scene.begin(source, downstream, '', 2);
      const { runtimes, clock } = scene.workers;
      // An entry that is too large for a peer lookup comes by a flight.
      const large = { ...scene.answer, body: 'x'.repeat(2 ** 20 + 1) };
      const first = scene.workers.ask(0, '/');
      await scene.workers.answerAll(() => large);
      await first;
      const { tiers } = runtimes[0]!;
      const find = tiers.find.bind(tiers);
      let searches = 0;
      tiers.find = (...wanted) => {
        searches += 1;
        // The first is for the lookup, the second for the flight.
        if (searches === 2) queueMicrotask(() => (clock.now += (source.seconds + 5) * 1000));
        return find(...wanted);
      };
      const asked = scene.workers.ask(1, '/');
      await settle();
      expect(detailOf(await asked)).toContain('detail=peer');
      expectStale(await asked);
    });

    it('is fresh to a waiter for the remaining lifetime, and stale to one that waited too long', async () => {
      const scene = await Scene.begin(source, downstream);
      const left = { ...scene.answer, fields: [...scene.answer.fields!, 'Age', '90'] };
      const both = [scene.workers.ask(0, '/'), scene.workers.ask(0, '/')];
      await scene.workers.answerAll(() => left);
      for (const answer of await Promise.all(both)) expectFresh(answer, source.seconds - 90);
      await scene.purge('hard');
      const waiting = [scene.workers.ask(0, '/'), scene.workers.ask(0, '/')];
      const late = scene.answer;
      scene.pass(source.seconds + 5);
      await scene.workers.answerAll(() => late);
      for (const answer of await Promise.all(waiting)) expectStale(answer);
    });

    it('is fresh to nobody where it was purged before the origin answered', async () => {
      const scene = await Scene.begin(source, downstream);
      const both = [scene.workers.ask(0, '/'), scene.workers.ask(0, '/')];
      await settle();
      await scene.purge('hard');
      await scene.workers.answerAll(() => scene.answer);
      for (const answer of await Promise.all(both)) expectStale(answer);
    });
  });
});

describe.each(DOWNSTREAM)('with the feed lost and $name rewritten, an answer', (downstream) => {
  const source = SOURCES.find(({ name }) => name === 'until-changed')!;

  it('is as fresh as the response says by use-headers', async () => {
    const scene = await Scene.begin(source, downstream, 'on-feed-loss: use-headers');
    await scene.ask();
    for (const age of [5, 250, 590]) {
      scene.pass(age - (scene.workers.clock.now - START_MS) / 1000);
      scene.feed('lost');
      const answer = await scene.askAtOnce();
      expect(detailOf(answer)).toContain('weir; hit');
      expectFresh(answer, source.ownSeconds - age, downstream.name !== 'nothing');
    }
  });

  it('is as fresh as the response says by use-headers also when the origin was asked', async () => {
    const scene = await Scene.begin(source, downstream, 'on-feed-loss: use-headers');
    scene.feed('lost');
    const asked = scene.workers.ask(0, '/');
    const { answer } = scene;
    scene.workers.clock.now += 90_000;
    await scene.workers.answerAll(() => answer);
    expectFresh(await asked, source.ownSeconds - 90);
  });

  it('is stale to others within stale-while-revalidate by use-headers', async () => {
    const more = 'on-feed-loss: use-headers, stale-while-revalidate: 60s';
    const scene = await Scene.begin(source, downstream, more);
    await scene.ask();
    scene.pass(source.ownSeconds + 5);
    scene.feed('lost');
    const answer = await scene.askAtOnce();
    expect(detailOf(answer)).toContain('detail=stale-while-revalidate');
    expectStale(answer);
  });

  it('is stale in place of an error by revalidate, and otherwise as fresh as the response says', async () => {
    const scene = await Scene.begin(source, downstream, 'stale-if-error: 60s');
    await scene.ask();
    scene.pass(50);
    scene.feed('lost');
    const asked = scene.workers.ask(0, '/');
    await scene.workers.answerAll(() => ({ status: 503 }));
    expect(detailOf(await asked)).toContain('detail=stale-if-error');
    expectStale(await asked);
    scene.pass(2);
    scene.feed('lost');
    expectFresh(await scene.ask(), source.ownSeconds);
  });

  it('is as fresh as the response says by bypass', async () => {
    const scene = await Scene.begin(source, downstream, 'on-feed-loss: bypass');
    await scene.ask();
    scene.pass(50);
    scene.feed('lost');
    const answer = await scene.ask();
    expect(detailOf(answer)).toContain('feed-lost');
    expectFresh(answer, source.ownSeconds);
  });
});

/** RFC 9111 §4: tests which requests may share a response, between clients of one worker and of two. */
import { describe, expect, it } from 'vitest';
import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import type { RequestView } from '../../policies/model.ts';
import { decideReuse } from '../../policies/rfc9111/reuse.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import { answers } from '../../policies/rfc9111/vary.ts';
import { policy } from '../rfc9111/given.ts';
import { fc } from '../support/properties.ts';
import { settle } from '../support/barrier.ts';
import { startWorkers, type Answered, type OriginAnswer, type Workers } from './workers.ts';
import type { OriginRequest } from '../../origin-adapters/origin.ts';

/** Answers each request with its own name. */
const personal =
  (...fields: string[]) =>
  (request: OriginRequest): OriginAnswer => ({ fields, body: nameOf(request.fields) });

function nameOf(fields: Fields): string {
  return `${fieldValue(fields, 'cookie')} ${fieldValue(fields, 'authorization')}`;
}

const CREDENTIALS = [
  ['Cookie', 'alice'],
  ['Cookie', 'bob'],
  ['Cookie', 'carol', 'Authorization', 'c'],
  ['Cookie', 'dave', 'Authorization', 'd'],
];

describe.each([1, 2])('a shared response with %i worker(s)', (workers) => {
  const everywhere = Array.from({ length: 4 * workers }, (_, i) => ({
    worker: i % workers,
    fields: CREDENTIALS[Math.floor(i / workers)]!,
  }));

  it.each([
    [['ETag', '"1"']],
    [['ETag', '"1"', 'Cache-Control', 'no-cache']],
    [['ETag', '"1"', 'Cache-Control', 'max-age=0']],
    [['ETag', '"1"', 'Cache-Control', 'max-age=0, must-revalidate']],
    [['ETag', '"1"', 'Cache-Control', 'public, no-cache']],
    [['ETag', '"1"', 'Cache-Control', 's-maxage=0']],
    [['ETag', '"1"', 'Cache-Control', 'max-age=10', 'Age', '20']],
    [['ETag', '"1"', 'Expires', '0']],
    [['Cache-Control', 'max-age=60, private']],
    [['Cache-Control', 'no-store']],
    [['Cache-Control', 'max-age=60', 'Set-Cookie', 'a=b']],
    [['Cache-Control', 'max-age=60', 'Vary', 'Cookie']],
    [[]],
  ])('§4: is not given to another client where it is %j', async (fields) => {
    const scene = await startWorkers(workers);
    const asked = everywhere.map(({ worker, fields: own }) => scene.ask(worker, '/', { fields: own }));
    await scene.answerAll(personal(...fields));
    for (const [i, { status, body }] of (await Promise.all(asked)).entries()) {
      expect([status, body]).toEqual([200, nameOf(everywhere[i]!.fields)]);
    }
  });

  it.each([
    ['max-age=60'],
    ['max-age=0, stale-while-revalidate=60'],
    ['public, max-age=60'],
    ['max-age=60, must-revalidate'],
  ])('§4: is fetched once where it may be reused, with %s', async (directives) => {
    const scene = await startWorkers(workers);
    const asked = Array.from({ length: 10 }, (_, i) => scene.ask(i % workers, '/'));
    await scene.answerAll(personal('Cache-Control', directives, 'ETag', '"1"'));
    await Promise.all(asked);
    expect(scene.origin.requests).toHaveLength(1);
  });

  it('§4: is fetched once where it exceeds its lifetime only by the time that the origin took', async () => {
    const scene = await startWorkers(workers);
    const asked = Array.from({ length: 10 }, (_, i) => scene.ask(i % workers, '/'));
    await scene.answerAll(() => {
      scene.clock.now += 2_000;
      return { fields: ['Cache-Control', 'max-age=1', 'ETag', '"1"'], body: 'slow' };
    });
    for (const { body } of await Promise.all(asked)) expect(body).toBe('slow');
    expect(scene.origin.requests).toHaveLength(1);
  });

  it('§4.3.3: is not given to another client after a 304, where each has to validate', async () => {
    const scene = await startWorkers(workers);
    const fields = ['Cache-Control', 'no-cache', 'ETag', '"1"'];
    const first = scene.ask(0, '/');
    await scene.answerAll(() => ({ fields, body: 'content' }));
    await first;
    scene.origin.forget();
    const asked = Array.from({ length: 10 }, (_, i) => scene.ask(i % workers, '/'));
    await scene.answerAll(({ fields: sent }) => {
      expect(fieldValue(sent, 'if-none-match')).toBe('"1"');
      return { status: 304, fields };
    });
    for (const { status, body } of await Promise.all(asked)) expect([status, body]).toEqual([200, 'content']);
    expect(scene.origin.requests).toHaveLength(10);
  });

  it('is remembered as private, so that no request waits in vain, until one is not private', async () => {
    const scene = await startWorkers(workers);
    const ask = () => Array.from({ length: 6 }, (_, i) => scene.ask(i % workers, '/'));
    const first = ask();
    await scene.answerAll(personal('ETag', '"1"'));
    await Promise.all(first);
    scene.origin.forget();
    const second = ask();
    await scene.answerAll(personal('ETag', '"1"', 'Cache-Control', 'max-age=1'));
    await Promise.all(second);
    expect(scene.origin.maxRunning).toBe(6);
    scene.clock.now += 2_000;
    scene.origin.forget();
    const third = ask();
    await scene.answerAll(personal('ETag', '"1"', 'Cache-Control', 'max-age=1'));
    await Promise.all(third);
    expect(scene.origin.requests).toHaveLength(1);
  });

  const OF_ONE_REQUEST = [400, 401, 403, 408, 412, 416, 431];

  describe.each([
    ['not stored', []],
    ['stored, for one client alone', ['ETag', '"e"', 'Cache-Control', 'no-cache']],
  ])('and an answer that is %s', (_what, fields) => {
    /** Clients at the same time; the origin rejects the requests of the first `bad` ones. */
    async function ask(scene: Workers, bad: number, status: number): Promise<readonly number[]> {
      const asked: Promise<Answered>[] = [];
      for (let i = 0; i < 20; i += 1) {
        asked.push(scene.ask(i % workers, '/', { fields: ['User-Agent', i < bad ? `bad-${i}` : 'good'] }));
        await settle();
      }
      await scene.answerAll(({ fields: sent }) =>
        fieldValue(sent, 'user-agent') === 'good'
          ? { fields: ['Cache-Control', 'max-age=10'], body: 'good' }
          : { status, fields },
      );
      return (await Promise.all(asked)).map((one) => one.status);
    }

    it.each(OF_ONE_REQUEST)(
      'with status %i, caused by one request, does not answer others',
      async (status) => {
        const scene = await startWorkers(workers);
        const statuses = await ask(scene, 1, status);
        expect(statuses).toEqual([status, ...Array.from({ length: 19 }, () => 200)]);
        expect(scene.origin.requests).toHaveLength(2);
        // It is not remembered either.
        scene.clock.now += 20_000;
        scene.origin.forget();
        expect(await ask(scene, 0, status)).toEqual(Array.from({ length: 20 }, () => 200));
        expect(scene.origin.requests).toHaveLength(1);
      },
    );

    it('lets no request wait for more than two others in a row', async () => {
      const scene = await startWorkers(workers);
      const statuses = await ask(scene, 20, 400);
      expect(statuses).toEqual(Array.from({ length: 20 }, () => 400));
      expect(scene.origin.requests).toHaveLength(20);
      expect(scene.origin.maxRunning).toBeGreaterThanOrEqual((20 - 4 * workers) / workers);
    });
  });

  it('causes two requests at once at most, under a hold and with purges during the fetch', async () => {
    const scene = await startWorkers(workers);
    const clients: Promise<unknown>[] = [];
    for (let i = 0; i < 40; i += 1) {
      clients.push(scene.ask(i % workers, '/'));
      if (i % 5 === 0) await scene.fence.invalidate({ tags: ['all'], mode: 'hard' });
    }
    await scene.answerAll(personal('Cache-Control', 'max-age=60', 'ETag', '"1"'));
    await Promise.all(clients);
    expect(scene.origin.maxRunning).toBeLessThanOrEqual(2);
    expect(scene.origin.requests.length).toBeLessThanOrEqual(4);
  });

  it('RFC 8297: sends interim responses only to the client whose request caused them, without cookies', async () => {
    const scene = await startWorkers(workers);
    const asked = everywhere.map(({ worker, fields }) => scene.ask(worker, '/', { fields }));
    await scene.answerAll(({ fields }) => ({
      fields: ['Cache-Control', 'public, max-age=60'],
      informs: [['Link', `</${nameOf(fields)}>`, 'Set-Cookie', 'sid=1', 'Set-Cookie2', 'sid=1']],
    }));
    const informed = (await Promise.all(asked)).flatMap(({ informed: sent }, i) =>
      sent.map((link) => [i, ...link]),
    );
    const causes = scene.origin.requests.map(({ fields }) =>
      everywhere.findIndex(({ fields: own }) => nameOf(own) === nameOf(fields)),
    );
    expect(informed.length).toBe(scene.origin.requests.length);
    for (const [i, ...link] of informed) {
      expect(link).toEqual(['Link', `</${nameOf(everywhere[Number(i)]!.fields)}>`]);
      expect(causes.map((cause) => nameOf(everywhere[cause]!.fields))).toContain(
        nameOf(everywhere[Number(i)]!.fields),
      );
    }
  });

  it('gives a second request nothing that the rules of reuse would not serve it from the store', async () => {
    await fc.assert(
      fc.asyncProperty(ANSWER, REQUEST, REQUEST, async (fields, one, two) => {
        const scene = await startWorkers(workers, 'client-directives: honor');
        const requests = [one, two].map((own, i) => own.concat('X-Name', String(i)));
        const asked: Promise<Answered>[] = [];
        for (const [i, own] of requests.entries()) {
          scene.clock.now += 1;
          asked.push(scene.ask(i % workers, '/', { fields: own }));
          // The origin gets the first one's request, whichever worker owns the key.
          await settle();
        }
        await scene.answerAll((request) => ({ fields, body: fieldValue(request.fields, 'x-name')! }));
        const [first, second] = await Promise.all(asked);
        expect([first!.body, first!.status]).toEqual(['0', 200]);
        if (second!.body !== '1') expect(wouldServe(fields, requests, scene.clock.nowMs())).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});

/** Whether the answer to the first of two requests would be served to the second from the store. */
function wouldServe(fields: Fields, [one, two]: readonly Fields[], nowMs: number): boolean {
  const view = (of: Fields): RequestView => ({ method: 'GET', fields: of });
  const decision = decideStoring({
    request: view(one!),
    status: 200,
    fields,
    requestTimeMs: nowMs,
    responseTimeMs: nowMs,
    policy: policy(),
    authority: 'shop',
  });
  if (decision.kind === 'not' || !answers(decision.meta, view(two!))) return false;
  const { meta } = decision;
  const { kind } = decideReuse({
    meta,
    request: view(two!),
    verdict: { kind: 'clear' },
    trust: 'live',
    policy: policy(),
    nowMs,
  });
  return kind === 'serve' || kind === 'serve-stale';
}

const directives = (...texts: string[]): fc.Arbitrary<string[]> =>
  fc
    .subarray(texts, { maxLength: 3 })
    .map((some) => (some.length === 0 ? [] : ['Cache-Control', some.join(', ')]));

const some = (...fields: string[][]): fc.Arbitrary<string[]> => fc.constantFrom([], ...fields);

const ANSWER: fc.Arbitrary<string[]> = fc
  .tuple(
    directives(
      'max-age=60',
      'max-age=0',
      's-maxage=60',
      's-maxage=0',
      'public',
      'private',
      'no-cache',
      'no-cache="x-a"',
      'no-store',
      'must-revalidate',
      'proxy-revalidate',
      'stale-while-revalidate=60',
      'stale-if-error=60',
    ),
    some(['ETag', '"1"'], ['ETag', 'W/"1"']),
    some(['Last-Modified', 'Mon, 06 Nov 2023 00:00:00 GMT']),
    some(['Vary', 'Cookie'], ['Vary', 'Authorization'], ['Vary', '*']),
    some(['Age', '30'], ['Age', '100']),
    some(
      ['Expires', '0'],
      ['Set-Cookie', 'a=b'],
      ['CDN-Cache-Control', 'max-age=10'],
      ['Pragma', 'no-cache'],
    ),
  )
  .map((parts) => parts.flat());

const REQUEST: fc.Arbitrary<string[]> = fc
  .tuple(
    some(['Cookie', 'a'], ['Cookie', 'b']),
    some(['Authorization', 'a'], ['Authorization', 'b']),
    directives('max-age=0', 'max-age=40', 'min-fresh=50', 'max-stale', 'no-store'),
  )
  .map((parts) => parts.flat());

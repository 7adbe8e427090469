/**
 * Tests an origin that fails: many clients cause few requests, all of them get one status, and none gets
 * another client's content.
 */
import { describe, expect, it } from 'vitest';
import { fieldValue } from '../../policies/http/fields.ts';
import type { OriginRequest } from '../../origin-adapters/origin.ts';
import { settle } from '../support/barrier.ts';
import { startWorkers, type Answered, type OriginResult, type Workers } from './workers.ts';

const CLIENTS = 12;
const STORED = ['Cache-Control', 'max-age=10', 'ETag', '"1"'];

/** The body names the client that it was for. */
const answering =
  (status: number, ...fields: string[]) =>
  ({ fields: sent }: OriginRequest): OriginResult => ({
    status,
    fields,
    body: `for ${fieldValue(sent, 'x-client')}`,
  });

const FAILURES: readonly (readonly [string, number, (request: OriginRequest) => OriginResult])[] = [
  ...[429, 500, 501, 502, 503, 504].map((status) => [`${status}`, status, answering(status)] as const),
  ['503 with an ETag', 503, answering(503, 'ETag', '"e"', 'Cache-Control', 'no-cache')],
  ['500 that is private', 500, answering(500, 'Cache-Control', 'private', 'Set-Cookie', 'a=b')],
  ['connection_refused', 502, () => ({ kind: 'connection_refused', status: 502 })],
  ['http_response_timeout', 504, () => ({ kind: 'http_response_timeout', status: 504 })],
  ['http_protocol_error', 502, () => ({ kind: 'http_protocol_error', status: 502 })],
];

/**
 * Sends requests to all workers in turn. Each has a name that is not in the key; the names are equal if
 * `areAlike`.
 */
function ask(scene: Workers, workers: number, areAlike: boolean, method = 'GET'): Promise<Answered>[] {
  return Array.from({ length: CLIENTS }, (_, i) => {
    const name = areAlike ? 'all' : String(i);
    return scene.ask(i % workers, '/', { method, fields: ['X-Client', name] });
  });
}

describe.each([1, 2])('a failing origin with %i worker(s)', (workers) => {
  describe.each([true, false])('and equal requests: %s', (areAlike) => {
    it.each(FAILURES)(
      'gets few requests, and all clients get its status: %s',
      async (_what, status, answer) => {
        const scene = await startWorkers(workers);
        const asked = ask(scene, workers, areAlike);
        await scene.answerAll(answer);
        for (const [i, one] of (await Promise.all(asked)).entries()) {
          expect(one.status).toBe(status);
          const own = `for ${areAlike ? 'all' : i}`;
          if (one.body === own) continue;
          expect(fieldValue(one.fields, 'content-type')).toBe('application/problem+json');
          expect(JSON.parse(one.body)).toMatchObject({ status });
          expect(fieldValue(one.fields, 'retry-after')).toBe('1');
          expect(fieldValue(one.fields, 'proxy-status')).toContain('weir; error=');
          expect(fieldValue(one.fields, 'cache-status')).toContain('weir; fwd=uri-miss');
          expect(fieldValue(one.fields, 'cache-control')).toBe('no-store');
          expect(fieldValue(one.fields, 'set-cookie')).toBe(undefined);
        }
        expect(scene.origin.requests.length).toBeLessThanOrEqual(areAlike ? 1 : 2);
        expect(scene.origin.maxRunning).toBeLessThanOrEqual(2);
      },
    );

    it.each(FAILURES.filter(([what]) => !['429', '501', '500 that is private'].includes(what)))(
      'is replaced by an entry that may stand in, for each client: %s',
      async (_what, _status, answer) => {
        const scene = await startWorkers(workers, 'stale-if-error: 60s');
        const first = scene.ask(0, '/');
        await scene.answerAll(() => ({ fields: STORED, body: 'good' }));
        await first;
        scene.clock.now += 20_000;
        scene.origin.forget();
        const asked = ask(scene, workers, areAlike);
        await scene.answerAll(answer);
        for (const { status, body, fields } of await Promise.all(asked)) {
          expect([status, body]).toEqual([200, 'good']);
          expect(fieldValue(fields, 'cache-status')).toContain('detail=stale-if-error');
        }
        expect(scene.origin.requests.length).toBeLessThanOrEqual(areAlike ? 1 : 2);
      },
    );
  });

  it.each(FAILURES.slice(3))(
    'is not replaced by an entry that was invalidated meanwhile: %s',
    async (_what, status, answer) => {
      const scene = await startWorkers(workers, 'stale-if-error: 60s');
      const first = scene.ask(0, '/');
      await scene.answerAll(() => ({ fields: STORED, body: 'good' }));
      await first;
      scene.clock.now += 20_000;
      const asked = ask(scene, workers, true);
      await settle();
      await scene.fence.invalidate({ tags: ['all'], mode: 'hard' });
      await scene.answerAll(answer);
      for (const one of await Promise.all(asked)) expect(one.status).toBe(status);
    },
  );

  it('is remembered for failure-ttl, and no longer', async () => {
    const scene = await startWorkers(workers, 'failure-ttl: 2s');
    const first = ask(scene, workers, true);
    await scene.answerAll(answering(503));
    await Promise.all(first);
    scene.clock.now += 1_999;
    for (const { status } of await Promise.all(ask(scene, workers, false))) expect(status).toBe(503);
    expect(scene.origin.requests).toHaveLength(1);
    scene.clock.now += 1;
    const later = ask(scene, workers, false);
    await scene.answerAll(() => ({ fields: STORED, body: 'well' }));
    for (const { body } of await Promise.all(later)) expect(body).toBe('well');
  });

  it('is remembered from the second client on, if they come one after the other', async () => {
    const scene = await startWorkers(workers);
    const bodies: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      const asked = scene.ask(0, '/', { fields: ['X-Client', name] });
      await scene.answerAll(answering(503));
      bodies.push((await asked).body);
    }
    expect(bodies.slice(0, 2)).toEqual(['for a', 'for b']);
    expect(scene.origin.requests).toHaveLength(2);
  });

  it('is not remembered with failure-ttl: 0s, but all waiters share the failure', async () => {
    const scene = await startWorkers(workers, 'failure-ttl: 0s');
    const first = ask(scene, workers, false);
    await scene.answerAll(answering(500));
    for (const { status } of await Promise.all(first)) expect(status).toBe(500);
    expect(scene.origin.requests.length).toBeLessThanOrEqual(2 * workers);
    const later = ask(scene, workers, false);
    await scene.answerAll(() => ({ fields: STORED, body: 'well' }));
    for (const { body } of await Promise.all(later)) expect(body).toBe('well');
  });

  it('does not affect other clients if a request fails because of what it contains', async () => {
    const scene = await startWorkers(workers);
    const bad = scene.ask(0, '/', { fields: ['X-Client', 'bad'] });
    await settle();
    const others = ask(scene, workers, false);
    await scene.answerAll(({ fields }) =>
      fieldValue(fields, 'x-client') === 'bad' ? { status: 500 } : { fields: STORED, body: 'good' },
    );
    expect((await bad).status).toBe(500);
    for (const { body } of await Promise.all(others)) expect(body).toBe('good');
    expect(scene.origin.requests).toHaveLength(2);
  });

  /** A page with a known Vary, for clients each of which selects another variant. */
  async function varied(): Promise<Workers> {
    const scene = await startWorkers(workers);
    const first = scene.ask(0, '/', { fields: ['Cookie', 'first'] });
    await scene.answerAll(() => ({ fields: [...STORED, 'Vary', 'Cookie'], body: 'well' }));
    await first;
    if (workers > 1) {
      const second = scene.ask(1, '/', { fields: ['Cookie', 'first'] });
      await scene.answerAll(() => ({ fields: [...STORED, 'Vary', 'Cookie'], body: 'well' }));
      await second;
    }
    scene.origin.forget();
    return scene;
  }

  const askVaried = (scene: Workers, cookie: string): Promise<Answered> =>
    scene.ask(cookie.length % workers, '/', { fields: ['Cookie', cookie] });

  it.each(FAILURES.filter(([what]) => /^50[234]|^connection|timeout/.test(what)))(
    'answers clients of all variants after failing at two, until another answer comes: %s',
    async (_what, status, answer) => {
      const scene = await varied();
      for (let i = 0; i < CLIENTS; i += 1) {
        const asked = askVaried(scene, 'c'.repeat(i));
        await scene.answerAll(answer);
        const { status: answered, body } = await asked;
        expect(answered).toBe(status);
        if (i >= 2) expect(JSON.parse(body)).toMatchObject({ status });
      }
      expect(scene.origin.requests.length).toBe(2);
      scene.clock.now += 1_000;
      for (const cookie of ['x', 'yy', 'zzz']) {
        const asked = askVaried(scene, cookie);
        await scene.answerAll(() => ({ fields: [...STORED, 'Vary', 'Cookie'], body: cookie }));
        expect((await asked).body).toBe(cookie);
      }
    },
  );

  it('answers no client of another variant after failing at only one', async () => {
    const scene = await varied();
    for (let i = 0; i < 3; i += 1) {
      const bad = askVaried(scene, 'bad');
      await scene.answerAll(answering(503));
      expect((await bad).status).toBe(503);
    }
    const good = askVaried(scene, 'good');
    await scene.answerAll(() => ({ fields: [...STORED, 'Vary', 'Cookie'], body: 'well' }));
    expect((await good).body).toBe('well');
  });

  it.each([500, 501])('answers no client of a third variant after status %i at two', async (status) => {
    const scene = await varied();
    for (const cookie of ['bad', 'worse']) {
      const bad = askVaried(scene, cookie);
      await scene.answerAll(answering(status));
      expect((await bad).status).toBe(status);
    }
    const good = askVaried(scene, 'good');
    await scene.answerAll(() => ({ fields: [...STORED, 'Vary', 'Cookie'], body: 'well' }));
    expect((await good).body).toBe('well');
  });

  it("is asked again for a request that demands the origin's answer", async () => {
    const scene = await startWorkers(workers, 'client-directives: honor');
    const first = ask(scene, workers, true);
    await scene.answerAll(answering(503));
    await Promise.all(first);
    const demanding = scene.ask(0, '/', { fields: ['Cache-Control', 'no-cache'] });
    await scene.answerAll(() => ({ fields: STORED, body: 'well' }));
    expect((await demanding).body).toBe('well');
  });

  it('is stored like other answers where it states a lifetime', async () => {
    const scene = await startWorkers(workers);
    const asked = ask(scene, workers, false);
    await scene.answerAll(() => ({ status: 503, fields: ['Cache-Control', 'max-age=10'], body: 'closed' }));
    for (const { status, body } of await Promise.all(asked)) expect([status, body]).toEqual([503, 'closed']);
    expect(scene.origin.requests).toHaveLength(1);
  });

  describe.each([
    ['that is validated at each use', ['Cache-Control', 'no-cache', 'ETag', '"1"']],
    ['that is private', ['Cache-Control', 'private, max-age=60']],
  ])('and an answer %s', (_what, fields) => {
    describe.each([true, false])('and equal requests: %s', (areAlike) => {
      it.each(FAILURES)('gets few requests, until it stops failing: %s', async (_name, status, answer) => {
        const scene = await startWorkers(workers);
        const round = async (origin: (request: OriginRequest) => OriginResult): Promise<Answered[]> => {
          const asked = ask(scene, workers, areAlike);
          await scene.answerAll(origin);
          return Promise.all(asked);
        };
        const well = answering(200, ...fields);
        await round(well);
        await round(well);
        await round(answer);
        for (let again = 0; again < 3; again += 1) {
          scene.clock.now += again === 0 ? 0 : 1_500;
          scene.origin.forget();
          for (const one of await round(answer)) expect(one.status).toBe(status);
          expect(scene.origin.requests.length).toBeLessThanOrEqual(2);
        }
        scene.clock.now += 1_500;
        for (const [i, { body }] of (await round(well)).entries()) {
          expect(body).toBe(`for ${areAlike ? 'all' : i}`);
        }
      });
    });
  });

  it('answers those who wait when the first client has left', async () => {
    const scene = await startWorkers(workers);
    const first = scene.begin(0, '/', { fields: ['X-Client', 'first'] });
    await settle();
    const asked = ask(scene, workers, true);
    await settle();
    first.leave();
    await scene.answerAll(answering(503));
    for (const { status } of await Promise.all(asked)) expect(status).toBe(503);
    expect(scene.origin.requests.length).toBeLessThanOrEqual(2);
  });
});

it('a failure is remembered for a bounded number of keys', async () => {
  const scene = await startWorkers(1, '', 'flights: { failures: 2 }');
  const paths = ['/a', '/b', '/c'];
  const ask3 = async (): Promise<void> => {
    const asked = paths.concat(paths).map((path) => scene.ask(0, path));
    await scene.answerAll(answering(503));
    await Promise.all(asked);
  };
  await ask3();
  scene.origin.forget();
  await ask3();
  expect(scene.origin.requests.map(({ path }) => path)).toEqual(['/a']);
});

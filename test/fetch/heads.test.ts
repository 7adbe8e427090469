/** Tests HEAD: requests at the same time cause one request to the origin, which never fetches content. */
import { describe, expect, it } from 'vitest';
import { fieldValue } from '../../policies/http/fields.ts';
import type { OriginRequest } from '../../origin-adapters/origin.ts';
import { settle } from '../support/barrier.ts';
import { startWorkers, type Answered, type OriginAnswer, type Workers } from './workers.ts';

const HEAD = { method: 'HEAD' };
const FRESH = ['Cache-Control', 'max-age=60', 'ETag', '"1"', 'Content-Length', '7'];

const fresh = (): OriginAnswer => ({ fields: FRESH, body: 'content' });
const methods = (scene: Workers): string[] => scene.origin.requests.map(({ method }) => method);

describe.each([1, 2])('a HEAD with %i worker(s)', (workers) => {
  it('asks once for all, with HEAD, and stores nothing', async () => {
    const scene = await startWorkers(workers);
    const asked = Array.from({ length: 10 }, (_, i) => scene.ask(i % workers, '/', HEAD));
    await scene.answerAll(fresh);
    for (const { status, body, fields } of await Promise.all(asked)) {
      expect([status, body, fieldValue(fields, 'content-length')]).toEqual([200, '', '7']);
      expect(fieldValue(fields, 'etag')).toBe('"1"');
      expect(fieldValue(fields, 'cache-status')).toContain('detail=head');
      expect(fieldValue(fields, 'cache-status')).not.toContain('stored');
    }
    expect(methods(scene)).toEqual(['HEAD']);
    const later = scene.ask(0, '/');
    await scene.answerAll(fresh);
    expect((await later).body).toBe('content');
    expect(methods(scene)).toEqual(['HEAD', 'GET']);
  });

  it('is answered by a running GET, and answers no GET', async () => {
    const scene = await startWorkers(workers);
    const head = scene.ask(0, '/', HEAD);
    await settle();
    const get = scene.ask(workers - 1, '/');
    await settle();
    const others = Array.from({ length: 6 }, (_, i) => scene.ask(i % workers, '/', HEAD));
    await settle();
    expect(methods(scene)).toEqual(['HEAD', 'GET']);
    await scene.answerAll(fresh);
    expect((await get).body).toBe('content');
    for (const { status, body } of await Promise.all([head, ...others]))
      expect([status, body]).toEqual([200, '']);
    expect(methods(scene)).toEqual(['HEAD', 'GET']);
    expect(scene.origin.maxRunning).toBe(2);
  });

  it('is answered by a GET that was asked first', async () => {
    const scene = await startWorkers(workers);
    const get = scene.ask(0, '/');
    await settle();
    const heads = Array.from({ length: 6 }, (_, i) => scene.ask(i % workers, '/', HEAD));
    await scene.answerAll(fresh);
    for (const { status } of await Promise.all([...heads, get])) expect(status).toBe(200);
    expect(methods(scene)).toEqual(['GET']);
  });

  it.each([
    [['Cache-Control', 'private, max-age=60']],
    [['ETag', '"1"']],
    [['Cache-Control', 'no-cache', 'ETag', '"1"']],
    [['Cache-Control', 'max-age=60', 'Vary', 'Cookie']],
    [[]],
  ])('§4: gives no client the fields that were for another, where they are %j', async (fields) => {
    const scene = await startWorkers(workers);
    const names = Array.from({ length: 6 }, (_, i) => `client-${i}`);
    const asked = names.map((name, i) => scene.ask(i % workers, '/', { ...HEAD, fields: ['Cookie', name] }));
    await scene.answerAll(({ fields: sent }: OriginRequest) => ({
      fields: [
        ...fields,
        'X-For',
        fieldValue(sent, 'cookie')!,
        'Set-Cookie',
        `of=${fieldValue(sent, 'cookie')}`,
      ],
    }));
    for (const [i, { fields: own }] of (await Promise.all(asked)).entries()) {
      expect(fieldValue(own, 'x-for')).toBe(names[i]);
    }
    expect(new Set(methods(scene))).toEqual(new Set(['HEAD']));
  });

  it('does not decide whether a GET may be shared', async () => {
    const scene = await startWorkers(workers);
    const heads = Array.from({ length: 4 }, (_, i) => scene.ask(i % workers, '/', HEAD));
    await scene.answerAll(() => ({ fields: [] }));
    await Promise.all(heads);
    scene.origin.forget();
    const gets = Array.from({ length: 4 }, (_, i) => scene.ask(i % workers, '/'));
    await scene.answerAll(fresh);
    await Promise.all(gets);
    expect(methods(scene)).toEqual(['GET']);
  });

  describe('of a stale entry', () => {
    const soon = { fields: ['Cache-Control', 'max-age=1', 'ETag', '"1"'], body: 'content' };

    async function stale(cache = ''): Promise<Workers> {
      const scene = await startWorkers(workers, cache);
      const stored = Array.from({ length: workers }, (_, i) => scene.ask(i, '/'));
      await scene.answerAll(() => soon);
      await Promise.all(stored);
      scene.clock.now += 2_000;
      scene.origin.forget();
      return scene;
    }

    const heads = (scene: Workers): Promise<Answered>[] =>
      Array.from({ length: 20 }, (_, i) => scene.ask(i % workers, '/', HEAD));

    it('§4.3.5: asks once for all, and freshens the entry on every worker', async () => {
      const scene = await stale();
      const asked = heads(scene);
      await scene.answerAll(() => ({ fields: FRESH }));
      for (const { status } of await Promise.all(asked)) expect(status).toBe(200);
      for (let worker = 0; worker < workers; worker += 1) {
        expect((await scene.ask(worker, '/')).body).toBe('content');
      }
      expect(methods(scene)).toEqual(['HEAD']);
    });

    it.each([404, 301])(
      '§4.3.5: outdates the entry on every worker before %i is answered',
      async (status) => {
        const scene = await stale('stale-if-error: 60s');
        const asked = heads(scene);
        await scene.answerAll(() => ({ status, fields: ['Cache-Control', 'max-age=60'] }));
        for (const answer of await Promise.all(asked)) expect(answer.status).toBe(status);
        expect(methods(scene)).toEqual(['HEAD']);
        for (let worker = 0; worker < workers; worker += 1) {
          const later = scene.ask(worker, '/');
          await scene.answerAll(() => ({ status: 503 }));
          expect((await later).status).toBe(503);
        }
      },
    );

    it('asks few times while the origin fails', async () => {
      const scene = await stale('stale-if-error: 60s');
      for (let round = 0; round < 3; round += 1) {
        const asked = heads(scene);
        await scene.answerAll(() => ({ status: 503 }));
        for (const { status } of await Promise.all(asked)) expect(status).toBe(200);
      }
      expect(scene.origin.requests.length).toBeLessThanOrEqual(2);
    });
  });

  it("RFC 9110 §13.1.2: is answered by the client's own conditions", async () => {
    const scene = await startWorkers(workers);
    const asked = scene.ask(0, '/', { ...HEAD, fields: ['If-None-Match', '"1"'] });
    await scene.answerAll(({ fields }) => {
      expect(fieldValue(fields, 'if-none-match')).toBe(undefined);
      return { fields: FRESH };
    });
    expect((await asked).status).toBe(304);
  });
});

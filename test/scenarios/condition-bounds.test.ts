/**
 * RFC 9111 §4.3.1: tests that the conditions that Weir adds to requests are limited, and never cost a client
 * its answer.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf, type Answer } from './client.ts';
import { entriesOf, flightsOf } from './observed.ts';
import { purge } from './purging.ts';

const BOUND = 2048;

describe.each([1, 2])("a request with Weir's conditions and %i worker(s)", (workers) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;
  let paths = 0;
  let path = '';

  useWeir(
    (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: 16MiB, disk: { path: ./data, size: 64MiB } }
      origins: { app: { url: "${url}" } }
      routes:
        - { name: parts, match: /parts/*, cache: { range-miss: pass } }
        - { name: all, match: /* }
    `,
    (started) => ({ origin, weir } = started),
  );

  beforeEach(() => {
    origin.forget();
    paths += 1;
    path = `/conditions-${paths}`;
  });

  const get = (headers: Record<string, string> = {}): Promise<Answer> =>
    ask(`${weir.url}${path}`, { headers });

  const stored = async (): Promise<number> => (await entriesOf(weir, path)).length;
  const counted = async (name: 'tagsLeftOut' | 'conditionsRefused'): Promise<number> =>
    (await flightsOf(weir))[name];

  const asked = (): string[] => origin.requests.map(({ headers }) => headers['if-none-match'] ?? '');
  const hasConditions = (headers: NodeJS.Dict<string | string[]>): boolean =>
    ['if-none-match', 'if-modified-since', 'if-range'].some((name) => headers[name] !== undefined);

  it.each([400, 431])(
    'is not rejected for any number of variants by an origin that allows %i above 2 kB',
    async (status) => {
      origin.on(path, ({ headers }) => {
        const tags = headers['if-none-match'] ?? '';
        if (tags.length > BOUND) return { status };
        const etag = `"${String(headers['foo']).padStart(200, 'x')}"`;
        const fields = ['Cache-Control', 'max-age=3600', 'Vary', 'Foo', 'ETag', etag];
        return tags.includes(etag) ? { status: 304, fields } : { fields, body: `for ${headers['foo']}` };
      });
      const before = await counted('tagsLeftOut');
      for (let i = 0; i < 20; i++) {
        expect(await get({ foo: `n${i}` })).toMatchObject({ status: 200, body: `for n${i}` });
        await expect.poll(stored).toBe(i + 1);
      }
      expect(origin.requests).toHaveLength(20);
      expect(Math.max(...asked().map((tags) => tags.length))).toBeLessThanOrEqual(BOUND);
      expect(await counted('tagsLeftOut')).toBeGreaterThan(before);
      await purge(weir, { urls: [path] });
      origin.forget();
      const oldest = await get({ foo: 'n0' });
      expect(oldest).toMatchObject({ status: 200, body: 'for n0' });
      expect(cacheStatusOf(oldest)['fwd-status']).toBe('304');
      expect(asked()).toEqual([expect.stringMatching(/^"x+n0", "/)]);
    },
  );

  const REFUSALS = [400, 412, 413, 431];

  it.each(REFUSALS)('is sent again without them, once, after the answer %i', async (status) => {
    let version = 1;
    origin.on(path, ({ headers }) =>
      hasConditions(headers)
        ? { status, body: 'refused' }
        : { fields: ['Cache-Control', 'max-age=3600', 'ETag', `"${version}"`], body: `version ${version}` },
    );
    await get();
    await expect.poll(stored).toBe(1);
    version = 2;
    const before = await counted('conditionsRefused');
    await purge(weir, { urls: [path] });
    expect(await get()).toMatchObject({ status: 200, body: 'version 2' });
    expect(asked()).toEqual(['', '"1"', '']);
    expect(await counted('conditionsRefused')).toBe(before + 1);
  });

  it.each(REFUSALS)('has the answer %i if the request without conditions gets it', async (status) => {
    let isRefused = false;
    origin.on(path, () =>
      isRefused
        ? { status, body: 'refused' }
        : { fields: ['Cache-Control', 'max-age=3600', 'ETag', '"1"'], body: 'content' },
    );
    await get();
    await expect.poll(stored).toBe(1);
    isRefused = true;
    await purge(weir, { urls: [path] });
    expect(await get()).toMatchObject({ status, body: 'refused' });
    expect(asked()).toEqual(['', '"1"', '']);
  });

  it.each(REFUSALS)('is sent again after %i to a refresh in the background', async (status) => {
    let version = 1;
    origin.on(path, ({ headers }) => {
      if (hasConditions(headers)) return { status };
      const age = version === 1 ? 'max-age=0, stale-while-revalidate=60' : 'max-age=60';
      return { fields: ['Cache-Control', age, 'ETag', `"${version}"`], body: `version ${version}` };
    });
    await get();
    await expect.poll(stored).toBe(1);
    version = 2;
    expect((await get()).body).toBe('version 1');
    await expect.poll(async () => (await get()).body).toBe('version 2');
    expect(asked()).toEqual(['', '"1"', '']);
  });

  it('is sent again also for an answer that each client has to get for itself', async () => {
    origin.on(path, ({ headers }) =>
      hasConditions(headers)
        ? { status: 431 }
        : { fields: ['Cache-Control', 'no-cache', 'ETag', '"1"'], body: 'content' },
    );
    await get();
    await expect.poll(stored).toBe(1);
    const answers = await Promise.all([get(), get(), get()]);
    expect(answers.map(({ status, body }) => [status, body])).toEqual(answers.map(() => [200, 'content']));
  });

  it.each([...REFUSALS, 416])(
    'becomes one for the whole if the completion of a part gets %i',
    async (status) => {
      path = `/parts/${paths}`;
      origin.on(path, ({ headers }) => {
        const fields = ['Cache-Control', 'max-age=60', 'ETag', '"1"'];
        if (hasConditions(headers)) return { status };
        if (headers.range === undefined) return { fields, body: '0123456789' };
        return { status: 206, fields: [...fields, 'Content-Range', 'bytes 0-4/10'], body: '01234' };
      });
      expect(await get({ range: 'bytes=0-4' })).toMatchObject({ status: 206, body: '01234' });
      await expect.poll(stored).toBe(1);
      expect(await get()).toMatchObject({ status: 200, body: '0123456789' });
      const ranges = origin.requests.map(({ headers }) => headers.range);
      // Another worker may not have the part.
      if (workers === 1) expect(ranges).toEqual(['bytes=0-4', 'bytes=5-', undefined]);
    },
  );

  it.each([...REFUSALS, 416])("is not sent again if %i answers a client's own conditions", async (status) => {
    path = `/parts/${paths}`;
    origin.on(path, () => ({ status, body: 'refused' }));
    const own: Record<string, string>[] = [
      { 'if-match': '"mine"' },
      { 'if-none-match': '"mine"' },
      { 'if-unmodified-since': 'Mon, 15 Jun 2026 12:00:00 GMT' },
      { range: 'bytes=5-', 'if-range': '"mine"' },
    ];
    for (const headers of own) {
      origin.forget();
      expect(await get(headers)).toMatchObject({ status, body: 'refused' });
      expect(origin.requests).toHaveLength(1);
    }
  });
});

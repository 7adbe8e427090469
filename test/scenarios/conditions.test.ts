/** RFC 9110 §13: tests a client's conditions where no entry answers the request. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask } from './client.ts';

const MODIFIED = 'Mon, 05 Jan 2026 08:00:00 GMT';
const EARLIER = 'Sun, 04 Jan 2026 08:00:00 GMT';

describe.each([1, 2])("a client's condition with %i worker(s)", (workers) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  useWeir(
    (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: 16MiB, disk: { path: ./data, size: 64MiB } }
      origins: { app: { url: "${url}" } }
    `,
    (started) => ({ origin, weir } = started),
  );

  afterEach(() => origin.forget());

  const get = (path: string, headers: Record<string, string>) => ask(`${weir.url}${path}`, { headers });

  it.each([
    ['If-Match', '"1"', '"2"', 'no-store'],
    ['If-Match', '"1"', '"2"', 'max-age=60'],
    ['If-Unmodified-Since', EARLIER, MODIFIED, 'no-store'],
    ['If-Unmodified-Since', EARLIER, MODIFIED, 'max-age=60'],
  ])(
    '§13.2 is evaluated by the origin: %s: %s against %s, answered with %s',
    async (name, asked, current, control) => {
      const path = `/judged-${name}-${control}`;
      origin.on(path, ({ headers }, answer) => {
        const condition = headers[name.toLowerCase()];
        const fields = ['Cache-Control', control, 'ETag', '"2"', 'Last-Modified', MODIFIED];
        if (condition === undefined || condition === current) answer.send(200, fields, 'content');
        else answer.send(412);
      });
      expect(await get(path, { [name]: asked })).toMatchObject({ status: 412, body: '' });
      expect(await get(path, { [name]: asked })).toMatchObject({ status: 412 });
      expect(await get(path, { [name]: current })).toMatchObject({ status: 200, body: 'content' });
      expect(origin.requests.map(({ headers }) => headers[name.toLowerCase()])).toEqual([
        asked,
        asked,
        current,
      ]);
    },
  );

  it('RFC 9211 §2.2 makes Cache-Status say request if an entry would answer without it', async () => {
    const path = '/judged-fresh';
    origin.on(path, { fields: ['Cache-Control', 'max-age=60', 'ETag', '"2"'], body: 'content' });
    await get(path, {});
    const { headers } = await get(path, { 'If-Match': '"1"' });
    expect(headers['cache-status']).toMatch(/^weir; fwd=request; fwd-status=200; detail=precondition/);
  });

  it.each([
    ['If-None-Match', '"0", W/"2"', 304],
    ['If-None-Match', '"1"', 200],
    ['If-Modified-Since', MODIFIED, 304],
    ['If-Modified-Since', EARLIER, 200],
  ])(
    '§13.1 is evaluated for an answer that may not be stored: %s: %s with %i',
    async (name, asked, status) => {
      const path = `/passed-${status}-${name}`;
      const fields = ['Cache-Control', 'no-store', 'ETag', '"2"', 'Last-Modified', MODIFIED, 'X-A', 'b'];
      origin.on(path, { fields: [...fields, 'Content-Type', 'text/plain'], body: 'content' });
      const answer = await get(path, { [name]: asked });
      expect(answer).toMatchObject({ status, body: status === 304 ? '' : 'content', whole: true });
      expect(answer.headers).toMatchObject({ etag: '"2"', 'cache-control': 'no-store', 'x-a': 'b' });
      expect(answer.headers['content-type']).toBe(status === 304 ? undefined : 'text/plain');
    },
  );

  it('§13.1.3 is compared with Last-Modified only, where nothing is stored', async () => {
    origin.on('/undated', { fields: ['Cache-Control', 'no-store'], body: 'content' });
    const later = new Date(Date.now() + 60_000).toUTCString();
    expect(await get('/undated', { 'If-Modified-Since': later })).toMatchObject({ status: 200 });
  });
});

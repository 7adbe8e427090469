/** Tests GET and HEAD in front of a scripted origin, with one worker and with two. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';

describe.each([1, 2])('the cache with %i worker(s)', (workers) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  useWeir(
    (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: 32MiB, disk: { path: ./data, size: 0 } }
      origins: { app: { url: "${url}" } }
      routes:
        - { name: fixed, match: /fixed/*, cache: { freshness: fixed, ttl: 1h, negative-ttl: 1h } }
        - { name: strip, match: /strip/*, cache: { set-cookie: strip } }
        - { name: none, match: /none/*, cache: { freshness: none } }
        - { name: all, match: /* }
    `,
    (started) => ({ origin, weir } = started),
  );

  beforeEach(() => origin.forget());

  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    ask(`${weir.url}${path}`, { headers, method });

  it('stores what the origin allows, and answers with it on every worker', async () => {
    origin.on('/a', { fields: ['Cache-Control', 'max-age=60', 'ETag', '"1"'], body: 'content' });
    const first = await get('/a');
    expect(first).toMatchObject({ status: 200, body: 'content' });
    expect(cacheStatusOf(first)).toMatchObject({ fwd: 'uri-miss', 'fwd-status': '200', stored: true });
    expect(first.headers['age']).toBeUndefined();
    for (let i = 0; i < 8; i += 1) {
      const again = await get('/a');
      expect(again).toMatchObject({ status: 200, body: 'content' });
      expect(cacheStatusOf(again)).toMatchObject({ hit: true });
      expect(again.headers['age']).toMatch(/^\d+$/);
      expect(again.headers['etag']).toBe('"1"');
    }
    expect(origin.count()).toBe(1);
  });

  it('validates a stale entry, and serves it on a 304', async () => {
    origin.on('/stale', ({ headers }, answer) => {
      if (headers['if-none-match'] === '"1"')
        answer.send(304, ['ETag', '"1"', 'Cache-Control', 'max-age=60']);
      else answer.send(200, ['ETag', '"1"', 'Cache-Control', 'max-age=0'], 'content');
    });
    await get('/stale');
    const again = await get('/stale');
    expect(again).toMatchObject({ status: 200, body: 'content' });
    expect(cacheStatusOf(again)).toMatchObject({ fwd: 'stale', 'fwd-status': '304' });
    expect(cacheStatusOf(await get('/stale'))).toMatchObject({ hit: true });
    expect(origin.count()).toBe(2);
  });

  it('replaces a stale entry by a new answer', async () => {
    let version = 0;
    origin.on('/changed', () => {
      version += 1;
      return { fields: ['ETag', `"${version}"`, 'Cache-Control', 'max-age=0'], body: `${version}` };
    });
    expect((await get('/changed')).body).toBe('1');
    expect((await get('/changed')).body).toBe('2');
  });

  it('serves a stale entry during a refresh in the background', async () => {
    let version = 0;
    origin.on('/swr', () => {
      version += 1;
      const age = version === 1 ? 'max-age=0, stale-while-revalidate=60' : 'max-age=60';
      return { fields: ['ETag', `"${version}"`, 'Cache-Control', age], body: `${version}` };
    });
    await get('/swr');
    const stale = await get('/swr');
    expect(stale.body).toBe('1');
    expect(cacheStatusOf(stale)).toMatchObject({ hit: true, detail: 'stale-while-revalidate' });
    await origin.seen('/swr', 2);
    await expect.poll(async () => (await get('/swr')).body).toBe('2');
    expect(origin.count()).toBe(2);
  });

  it('serves a stale entry if the origin fails, as long as allowed', async () => {
    let isDown = false;
    origin.on('/sie/*', ({ url }, answer) => {
      const allowed = url === '/sie/yes' ? ', stale-if-error=60' : '';
      if (!isDown) answer.send(200, ['Cache-Control', `max-age=0${allowed}`, 'ETag', '"1"'], 'old');
      else answer.send(503, ['Cache-Control', 'no-store'], 'trouble');
    });
    await get('/sie/yes');
    await get('/sie/no');
    isDown = true;
    const stale = await get('/sie/yes');
    expect(stale).toMatchObject({ status: 200, body: 'old' });
    expect(cacheStatusOf(stale)).toMatchObject({ detail: 'stale-if-error' });
    expect(await get('/sie/no')).toMatchObject({ status: 503, body: 'trouble' });
    origin.on('/sie/*', (_request, answer) => answer.cut());
    expect(await get('/sie/yes')).toMatchObject({ status: 200, body: 'old' });
    expect(await get('/sie/no')).toMatchObject({ status: 502 });
  });

  it('stores variants by Vary', async () => {
    origin.on('/vary', ({ headers }) => ({
      fields: ['Cache-Control', 'max-age=60', 'Vary', 'X-Kind'],
      body: `for ${headers['x-kind'] ?? 'nobody'}`,
    }));
    for (let round = 0; round < 2; round += 1) {
      for (const kind of ['a', 'b']) {
        expect((await get('/vary', { 'X-Kind': kind })).body).toBe(`for ${kind}`);
      }
      expect((await get('/vary')).body).toBe('for nobody');
    }
    expect(origin.count()).toBe(3);
  });

  it('answers HEAD from the entry of a GET, and sends HEAD to the origin without one', async () => {
    origin.on('/head', { fields: ['Cache-Control', 'max-age=60'], body: 'content' });
    const before = await get('/head', {}, 'HEAD');
    expect(before).toMatchObject({ status: 200, body: '' });
    expect(before.headers['content-length']).toBe('7');
    await get('/head');
    const after = await get('/head', {}, 'HEAD');
    expect(after).toMatchObject({ status: 200, body: '' });
    expect(cacheStatusOf(after)).toMatchObject({ hit: true });
    expect(origin.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  it("answers the client's own conditions and ranges from an entry", async () => {
    origin.on('/own', { fields: ['Cache-Control', 'max-age=60', 'ETag', '"1"'], body: '0123456789' });
    await get('/own');
    expect(await get('/own', { 'If-None-Match': '"1"' })).toMatchObject({ status: 304, body: '' });
    const part = await get('/own', { Range: 'bytes=2-4' });
    expect(part).toMatchObject({ status: 206, body: '234' });
    expect(part.headers['content-range']).toBe('bytes 2-4/10');
    expect(origin.count()).toBe(1);
  });

  it('does not share an answer to credentials, unless the origin says that it may', async () => {
    origin.on('/own-page', ({ headers }) => ({
      fields: ['Cache-Control', 'max-age=60'],
      body: headers.authorization ?? 'anonymous',
    }));
    expect((await get('/own-page', { Authorization: 'Bearer a' })).body).toBe('Bearer a');
    expect((await get('/own-page', { Authorization: 'Bearer b' })).body).toBe('Bearer b');
    expect(cacheStatusOf(await get('/own-page', { Authorization: 'Bearer b' }))['stored']).toBeUndefined();
    expect((await get('/own-page')).body).toBe('anonymous');
    origin.on('/public', { fields: ['Cache-Control', 'public, max-age=60'], body: 'all' });
    await get('/public', { Authorization: 'Bearer a' });
    expect(cacheStatusOf(await get('/public', { Authorization: 'Bearer b' }))).toMatchObject({ hit: true });
  });

  it('passes Set-Cookie on and does not store the answer; with strip it stores the answer without the cookie', async () => {
    const fields = ['Cache-Control', 'max-age=60', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2'];
    origin.on('/cookie', { fields, body: 'x' });
    origin.on('/strip/cookie', { fields, body: 'x' });
    const cookiesOf = ({ headers }: { headers: Readonly<Record<string, string | undefined>> }) =>
      headers['set-cookie'];
    for (let i = 0; i < 2; i += 1) {
      const passed = await get('/cookie');
      expect(cookiesOf(passed)).toBe('a=1,b=2');
    }
    expect(origin.count('/cookie')).toBe(2);
    expect(cookiesOf(await get('/strip/cookie'))).toBe('a=1,b=2');
    for (let i = 0; i < 4; i += 1) {
      const stored = await get('/strip/cookie');
      expect(cookiesOf(stored)).toBeUndefined();
      expect(cacheStatusOf(stored)).toMatchObject({ hit: true });
    }
    expect(origin.count('/strip/cookie')).toBe(1);
  });

  it('uses a fixed lifetime where the route has one, and a negative one for a 404', async () => {
    origin.on('/fixed/page', { body: 'page' });
    origin.on('/fixed/gone', { status: 404, body: 'gone' });
    origin.on('/fixed/private', { fields: ['Cache-Control', 'private'], body: 'mine' });
    for (const path of ['/fixed/page', '/fixed/gone']) {
      await get(path);
      expect(cacheStatusOf(await get(path))).toMatchObject({ hit: true });
    }
    await get('/fixed/private');
    const again = await get('/fixed/private');
    expect(cacheStatusOf(again)).not.toHaveProperty('hit');
    expect(origin.count()).toBe(4);
  });

  it('stores nothing where the route has no freshness', async () => {
    origin.on('/none/a', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    await get('/none/a');
    expect(cacheStatusOf(await get('/none/a'))).toMatchObject({ fwd: 'bypass', detail: 'route' });
    expect(origin.count()).toBe(2);
  });

  it('says why an answer was not stored', async () => {
    origin.on('/no-store', { fields: ['Cache-Control', 'no-store'], body: 'x' });
    const said = cacheStatusOf(await get('/no-store'));
    expect(said).toMatchObject({ fwd: 'uri-miss', 'fwd-status': '200', detail: 'no-store' });
    expect(said['stored']).toBeUndefined();
  });

  it('passes a write on, and serves nothing older after it', async () => {
    let name = 'old';
    origin.on('GET /thing', () => ({ fields: ['Cache-Control', 'max-age=60'], body: name }));
    origin.on('PUT /thing', async ({ received }) => {
      name = String(await received);
      return { status: 204 };
    });
    await get('/thing');
    const put = await ask(`${weir.url}/thing`, { method: 'PUT', body: 'new' });
    expect(put.status).toBe(204);
    for (let i = 0; i < 4; i += 1) expect((await get('/thing')).body).toBe('new');
    expect(origin.count('GET /thing')).toBe(2);
  });

  it('asks again after a write of unknown outcome', async () => {
    let name = 'old';
    origin.on('GET /thing', () => ({ fields: ['Cache-Control', 'max-age=60'], body: name }));
    origin.on('PUT /thing', async ({ received }, answer) => {
      name = String(await received);
      answer.cut();
    });
    await get('/thing');
    const put = await ask(`${weir.url}/thing`, { method: 'PUT', body: 'new' });
    expect(put.status).toBe(502);
    await expect.poll(async () => (await get('/thing')).body).toBe('new');
  });
});

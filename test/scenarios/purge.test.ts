/** Tests purges of operators and origins, on two workers, with both tiers. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';
import { isHit, purge, seen, startVersionedOrigin, type VersionedOrigin } from './purging.ts';

let origin: VersionedOrigin;
let weir: RunningWeir;

beforeAll(async () => {
  origin = await startVersionedOrigin();
  weir = await startWeir(`
    admin: { port: 0, token: token }
    origins: { app: { url: "${origin.url}" } }
    routes:
      - { name: soft, match: /soft/*, cache: { stale-while-revalidate: 1h, stale-if-error: 1h } }
      - { name: shop, match: /shop/*, cache: { tags: [of-shop] } }
      - { name: asking, match: /asking/*, cache: { client-directives: honor } }
      - { name: all, match: /* }
  `);
  const { admin } = weir;
  weir.admin = (path, init = {}) =>
    admin.call(weir, path, { ...init, headers: { ...init.headers, authorization: 'Bearer token' } });
});

beforeEach(() => {
  origin.forget();
  origin.wait = async () => {};
  origin.more = [];
});

afterAll(async () => {
  await weir?.stop();
  await origin.close();
});

describe('a purge has effect on every worker when it is answered', () => {
  it.each([
    ['of a URL', '/url/a', { urls: ['/url/a'] }, '/url/b'],
    ['of a prefix', '/pre/fix/a', { prefixes: ['/pre/fix'] }, '/pre/fixed'],
    ['of a tag that only the response has', '/tag/a', { tags: ['of-tag-a'] }, '/tag/b'],
    ["of a route's own tag", '/shop/a', { tags: ['of-shop'] }, '/tag/c'],
    ['of a route', '/shop/b', { routes: ['shop'] }, '/tag/d'],
    ['of a host', '/host/a', { hosts: ['127.0.0.1'] }, null],
    ['of everything', '/all/a', { all: true }, null],
  ])('%s', async (_what, path, selection, untouched) => {
    expect(await seen(weir, path)).toEqual(new Set([`${path} 0`]));
    if (untouched !== null) await seen(weir, untouched);
    expect(await isHit(weir, path)).toBe(true);
    origin.change(path);
    const { sequence, tags } = await purge(weir, selection);
    expect(sequence).toBeGreaterThan(0);
    expect(tags).toBeGreaterThan(0);
    expect(await seen(weir, path)).toEqual(new Set([`${path} 1`]));
    expect(await isHit(weir, path)).toBe(true);
    if (untouched !== null) expect(await isHit(weir, untouched)).toBe(true);
  });

  it('of a tag beyond ASCII, whose bytes the response sent in UTF-8, in ISO-8859-1 or decomposed', async () => {
    const utf8 = (text: string) => Buffer.from(text).toString('latin1');
    for (const tag of [utf8('kind:m\u00f6bel'), 'kind:m\u00f6bel', utf8('kind:mo\u0308bel')]) {
      const path = `/named/${Buffer.from(tag, 'latin1').toString('hex')}`;
      origin.more = ['Surrogate-Key', tag];
      expect(await seen(weir, path)).toEqual(new Set([`${path} 0`]));
      expect(await isHit(weir, path)).toBe(true);
      origin.change(path);
      await purge(weir, { tags: ['kind:m\u00f6bel'] });
      expect(await seen(weir, path)).toEqual(new Set([`${path} 1`]));
    }
  });

  it('costs a 304 where nothing had changed', async () => {
    await seen(weir, '/same');
    origin.forget();
    await purge(weir, { urls: ['/same'] });
    const first = await ask(`${weir.url}/same`);
    expect(first.body).toBe('/same 0');
    expect(cacheStatusOf(first)).toMatchObject({ fwd: 'stale', 'fwd-status': '304' });
    expect(await seen(weir, '/same')).toEqual(new Set(['/same 0']));
    expect(origin.count()).toBe(1);
  });

  it('reaches a 304 in progress, and comes before one that was requested later', async () => {
    const late = gate();
    let meta = 'old';
    origin.on('/late', async ({ headers }) => {
      const fields = ['Cache-Control', 'max-age=3600', 'ETag', '"same"', 'X-Meta', meta];
      if (headers['if-none-match'] === undefined) return { fields, body: 'content' };
      if (meta === 'old') await late.promise;
      return { status: 304, fields };
    });
    const metaOf = async (): Promise<string> => (await ask(`${weir.url}/late`)).headers['x-meta']!;
    await metaOf();
    await purge(weir, { urls: ['/late'] });
    const first = metaOf();
    await origin.seen('/late', 2);
    meta = 'new';
    await purge(weir, { urls: ['/late'] });
    // Some clients are on the worker that sends both requests. On the other one they wait until the first
    // answer is there.
    const later = Array.from({ length: 32 }, metaOf);
    expect(await Promise.race(later)).toBe('new');
    late.open();
    await first;
    expect(new Set(await Promise.all(later))).toEqual(new Set(['new']));
    for (let n = 0; n < 6; n += 1) expect(await metaOf()).toBe('new');
  });

  it('reaches a fetch in progress, and a client that joined after the purge gets the new state', async () => {
    const held = gate();
    origin.wait = () => held.promise;
    const before = ask(`${weir.url}/slow`);
    await origin.seen('/slow');
    origin.change('/slow');
    await purge(weir, { tags: ['secret'] });
    const after = Array.from({ length: 6 }, () => ask(`${weir.url}/slow`));
    held.open();
    expect((await before).body).toBe('/slow 0');
    expect(new Set((await Promise.all(after)).map(({ body }) => body))).toEqual(new Set(['/slow 1']));
    expect(await seen(weir, '/slow')).toEqual(new Set(['/slow 1']));
    expect(origin.count('/slow')).toBe(2);
  });
});

describe('a tag that the origin adds when it confirms an entry', () => {
  it.each(['GET', 'HEAD'])('counts on every worker once a %s with it was answered', async (method) => {
    const path = `/asking/${method}`;
    await seen(weir, path, 12);
    origin.more = ['Cache-Tag', `later-${method}`];
    const fields = { 'cache-control': 'no-cache' };
    const answer = await ask(`${weir.url}${path}`, { method, headers: fields });
    expect(cacheStatusOf(answer)).toMatchObject({ 'fwd-status': method === 'GET' ? '304' : '200' });
    origin.change(path);
    await purge(weir, { tags: [`later-${method}`] });
    expect(await seen(weir, path, 12)).toEqual(new Set([`${path} 1`]));
  });
});

describe('RFC 9111 §4.3.5: a HEAD that shows another state', () => {
  it('makes the entry stale on every worker, for the origin to confirm', async () => {
    await seen(weir, '/asking/moved', 12);
    origin.change('/asking/moved');
    origin.forget();
    const headers = { 'cache-control': 'no-cache' };
    await ask(`${weir.url}/asking/moved`, { method: 'HEAD', headers });
    expect(await seen(weir, '/asking/moved', 12)).toEqual(new Set(['/asking/moved 1']));
    expect(origin.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
    expect(origin.requests[1]!.headers['if-none-match']).toBe('"0"');
  });
});

describe('a hard purge', () => {
  it('prevents an entry from being served while the origin is down', async () => {
    await seen(weir, '/soft/hard');
    await purge(weir, { urls: ['/soft/hard'] });
    origin.on('/soft/hard', (_request, answer) => answer.cut());
    expect((await ask(`${weir.url}/soft/hard`)).status).toBe(502);
  });
});

describe('a soft purge', () => {
  it('lets an entry be served once more during a refresh', async () => {
    await seen(weir, '/soft/a');
    origin.change('/soft/a');
    await purge(weir, { urls: ['/soft/a'], mode: 'soft' });
    const stale = await ask(`${weir.url}/soft/a`);
    expect(stale.body).toBe('/soft/a 0');
    expect(cacheStatusOf(stale)).toMatchObject({ hit: true, detail: 'stale-while-revalidate' });
    await origin.seen('/soft/a', 2);
    await expect.poll(() => seen(weir, '/soft/a')).toEqual(new Set(['/soft/a 1']));
  });
});

describe('PURGE on the main port', () => {
  const send = (path: string, token?: string) =>
    ask(`${weir.url}${path}`, {
      method: 'PURGE',
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });

  it('purges the URL with the admin token, and nothing without it', async () => {
    await seen(weir, '/main');
    origin.change('/main');
    expect((await send('/main')).status).toBe(401);
    expect((await send('/main', 'wrong')).status).toBe(401);
    expect(await seen(weir, '/main')).toEqual(new Set(['/main 0']));
    const answer = await send('/main', 'token');
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ sequence: expect.any(Number), tags: expect.any(Number) });
    expect(await seen(weir, '/main')).toEqual(new Set(['/main 1']));
    expect(origin.count('PURGE /main')).toBe(0);
  });
});

describe('an unsafe request', () => {
  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])(
    '%s invalidates its target before its answer is sent',
    async (method) => {
      const path = `/unsafe/${method}`;
      await seen(weir, path);
      origin.change(path);
      expect((await ask(`${weir.url}${path}`, { method })).status).toBe(204);
      expect(await seen(weir, path)).toEqual(new Set([`${path} 1`]));
    },
  );

  it('invalidates Location, and nothing where it failed', async () => {
    await seen(weir, '/unsafe/other');
    await seen(weir, '/unsafe/failing');
    origin.change('/unsafe/other');
    origin.on('POST /unsafe/make', { status: 201, fields: ['Location', '/unsafe/other'] });
    origin.on('POST /unsafe/failing', { status: 500 });
    await ask(`${weir.url}/unsafe/make`, { method: 'POST' });
    await ask(`${weir.url}/unsafe/failing`, { method: 'POST' });
    expect(await seen(weir, '/unsafe/other')).toEqual(new Set(['/unsafe/other 1']));
    expect(await isHit(weir, '/unsafe/failing')).toBe(true);
  });

  it('RFC 9875: invalidates groups, on all hosts where the origin does not see the host', async () => {
    const path = '/unsafe/grouped';
    const fields = ['Cache-Control', 'max-age=60', 'Cache-Groups', '"g"'];
    origin.on(`GET ${path}`, { fields, body: 'x' });
    origin.on('POST /unsafe/grouping', { status: 204, fields: ['Cache-Group-Invalidation', '"g"'] });
    const of = (host: string) => ({ headers: { Host: host } });
    for (const host of ['a.example', 'b.example']) await ask(`${weir.url}${path}`, of(host));
    expect(origin.count(`GET ${path}`)).toBe(1);
    await ask(`${weir.url}/unsafe/grouping`, { method: 'POST', ...of('b.example') });
    await ask(`${weir.url}${path}`, of('a.example'));
    expect(origin.count(`GET ${path}`)).toBe(2);
  });
});

describe('a dry run', () => {
  it('counts what would be purged, lists some of it, and purges nothing', async () => {
    for (const path of ['/dry/a', '/dry/b', '/wet/a']) await seen(weir, path);
    await expect
      .poll(() => purge(weir, { prefixes: ['/dry'], dryRun: true }))
      .toEqual({ entries: 2, sample: expect.arrayContaining(['/dry/a', '/dry/b']), complete: true });
    expect(await isHit(weir, '/dry/a')).toBe(true);
  });
});

describe('GET /entries', () => {
  it('shows for each entry whether it may be used, and why', async () => {
    const look = async () =>
      (await (await weir.admin('/entries?url=/looked/at')).json()) as {
        entries: { usable: boolean; why: string; levels: string[]; tags: string[]; floor: number }[];
      };
    expect((await look()).entries).toEqual([]);
    await seen(weir, '/looked/at');
    const [entry, ...others] = (await look()).entries;
    expect(others).toEqual([]);
    expect(entry).toMatchObject({ usable: true, why: 'fresh', floor: expect.any(Number) });
    expect(entry!.levels).toContain('memory');
    expect(entry!.tags.join(' ')).toContain('secret');
    await purge(weir, { urls: ['/looked/at'] });
    expect((await look()).entries).toMatchObject([{ usable: false, why: 'invalidated' }]);
  });
});

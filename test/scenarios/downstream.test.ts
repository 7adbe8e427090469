/** Tests what the CDN gets with answers that are not from the cache, or have no content. */
import { describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask } from './client.ts';

const MODIFIED = 'Mon, 05 Jan 2026 08:00:00 GMT';
const TAGS = ['Surrogate-Key', 'a b', 'Cache-Tag', 'c', 'xkey', 'd'];
const TAG_NAMES = ['surrogate-key', 'cache-tag', 'xkey'];
let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}" } }
    routes:
      - { name: told, match: /told/*, cache: { downstream: {
          cache-control: "max-age=5", cdn-cache-control: "max-age=60", keep-tags: false } } }
      - { name: all, match: /* }`,
  (started) => ({ origin, weir } = started),
);

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  ask(`${weir.url}${path}`, { headers, method });
const tagsOf = ({ headers }: { headers: Readonly<Record<string, string | undefined>> }) =>
  TAG_NAMES.filter((name) => headers[name] !== undefined);

describe('a 304', () => {
  it('RFC 9110 §15.4.5 has its lifetime and tags for the CDN, and the date in place of an ETag', async () => {
    const said = ['Cache-Control', 'max-age=60', 'CDN-Cache-Control', 'max-age=600', 'Cache-Groups', '"g"'];
    origin.on('/a', { fields: [...said, ...TAGS, 'Last-Modified', MODIFIED], body: 'a' });
    await get('/a');
    const answer = await get('/a', { 'If-Modified-Since': MODIFIED });
    expect(answer).toMatchObject({
      status: 304,
      headers: {
        'last-modified': MODIFIED,
        'cache-control': 'max-age=60',
        'cdn-cache-control': 'max-age=600',
        'cache-groups': '"g"',
        'surrogate-key': 'a b',
      },
    });
    expect(tagsOf(answer)).toEqual(TAG_NAMES);
  });

  it('has the fields that a 200 would have, where the route rewrites them', async () => {
    origin.on('/told/a', { fields: ['Cache-Control', 'max-age=60', ...TAGS, 'ETag', '"1"'], body: 'a' });
    await get('/told/a');
    const answer = await get('/told/a', { 'If-None-Match': '"1"' });
    const lifetimes = { 'cache-control': 'max-age=5', 'cdn-cache-control': 'max-age=60' };
    expect(answer).toMatchObject({ status: 304, headers: lifetimes });
    expect(tagsOf(answer)).toEqual([]);
  });
});

describe('an answer that is passed on', () => {
  it('has no tags where the route removes them for the CDN', async () => {
    origin.on('/told/passed', { fields: ['Cache-Control', 'no-store', ...TAGS], body: 'a' });
    // The first one shares a flight, the second one is known not to be cacheable, the third one writes.
    for (const method of ['GET', 'GET', 'POST']) {
      const answer = await get('/told/passed', {}, method);
      expect(answer).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } });
      expect(tagsOf(answer)).toEqual([]);
    }
  });

  it('has its tags otherwise', async () => {
    origin.on('/passed', { fields: ['Cache-Control', 'no-store', ...TAGS], body: 'a' });
    for (const _ of [1, 2]) expect(tagsOf(await get('/passed'))).toEqual(TAG_NAMES);
  });

  it('has the same fields for a HEAD as for a GET', async () => {
    const fields = ['Cache-Control', 'max-age=60', 'Expires', MODIFIED, ...TAGS, 'ETag', '"1"'];
    origin.on('/told/head', { fields, body: 'a' });
    const lifetimes = { 'cache-control': 'max-age=5', 'cdn-cache-control': 'max-age=60' };
    const answer = await get('/told/head', {}, 'HEAD');
    expect(answer).toMatchObject({ status: 200, headers: lifetimes });
    expect([...tagsOf(answer), answer.headers['expires']]).toEqual([undefined]);
    origin.on('/told/confirmed', { fields, body: 'a' });
    const confirmed = await get('/told/confirmed', { 'If-None-Match': '"1"' }, 'HEAD');
    expect(confirmed).toMatchObject({ status: 304, headers: lifetimes });
  });
});

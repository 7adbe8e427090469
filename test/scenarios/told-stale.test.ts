/** Tests over the wire that an answer that is served stale is stale for every cache below Weir. */
import { describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';

const STALE = 'stale-while-revalidate: 10m, stale-if-error: 10m';
const DOWNSTREAM = 'downstream: { cache-control: "max-age=300", cdn-cache-control: "max-age=900" }';
let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}", retry: 0 } }
    routes:
      - { name: told, match: /told/*, cache: { ${STALE}, ${DOWNSTREAM} } }
      - { name: fixed, match: /fixed/*, cache: { freshness: fixed, ttl: 1h, ${STALE} } }
      - { name: fixed-told, match: /fixed-told/*, cache: { freshness: fixed, ttl: 1h, ${STALE}, ${DOWNSTREAM} } }
      - { name: expired, match: /told-expired/*, cache: { ${DOWNSTREAM} } }
      - { name: plain-expired, match: /plain-expired/* }
      - { name: errors, match: /errors/*, cache: { stale-if-error: 10m } }
      - { name: all, match: /*, cache: { ${STALE} } }`,
  (started) => ({ origin, weir } = started),
);

const requests: [string, string, Record<string, string>, number][] = [
  ['GET', 'GET', {}, 200],
  ['HEAD', 'HEAD', {}, 200],
  ['a range', 'GET', { Range: 'bytes=0-1' }, 206],
  ['several ranges', 'GET', { Range: 'bytes=0-0,5-5' }, 206],
  ['a 304', 'GET', { 'If-None-Match': '"1"' }, 304],
];

describe.each([
  ['/plain', 600],
  ['/told', 900],
  ['/fixed', 600],
  ['/fixed-told', 900],
])('a stale answer below %s', (prefix, toldSeconds) => {
  it.each(requests)(
    'is stale to the CDN after a soft purge, by %s',
    async (name, method, headers, status) => {
      const path = `${prefix}/${name.replaceAll(' ', '-')}`;
      const fields = ['Cache-Control', 'max-age=600', 'ETag', '"1"'];
      const body = 'x'.repeat(2_000);
      origin.on(path, { fields, body });
      await ask(`${weir.url}${path}`);
      await weir.admin('/purge', { method: 'POST', body: JSON.stringify({ urls: [path], mode: 'soft' }) });
      // The refresh in the background gets no answer, so that the entry stays stale.
      origin.on(path, () => new Promise(() => {}));
      const answer = await ask(`${weir.url}${path}`, { method, headers });
      expect(answer.status).toBe(status);
      expect(cacheStatusOf(answer)).toMatchObject({ hit: true, detail: 'stale-while-revalidate' });
      expect(Number(answer.headers['age'])).toBeGreaterThanOrEqual(toldSeconds);
    },
  );
});

describe('an answer in place of a failing origin', () => {
  it.each(requests)('is stale to the CDN by %s', async (name, method, headers, status) => {
    const path = `/errors/${name.replaceAll(' ', '-')}`;
    const fields = ['Cache-Control', 'max-age=600', 'CDN-Cache-Control', 'max-age=1200', 'ETag', '"1"'];
    origin.on(path, { fields, body: 'x'.repeat(2_000) });
    await ask(`${weir.url}${path}`);
    await weir.admin('/purge', { method: 'POST', body: JSON.stringify({ urls: [path], mode: 'soft' }) });
    origin.on(path, { status: 503, body: 'down' });
    const answer = await ask(`${weir.url}${path}`, { method, headers });
    expect(answer.status).toBe(status);
    expect(cacheStatusOf(answer)).toMatchObject({ detail: 'stale-if-error' });
    expect(Number(answer.headers['age'])).toBeGreaterThanOrEqual(1200);
  });
});

describe('an answer of the origin that had expired before it arrived', () => {
  it.each([
    ['told', 900],
    ['plain', 600],
  ])('is stale to the CDN each time, below /%s', async (prefix, toldSeconds) => {
    const path = `/${prefix}-expired/a`;
    origin.on(path, { fields: ['Cache-Control', 'max-age=600', 'Age', '700', 'ETag', '"1"'], body: 'a' });
    const asked: Record<string, string>[] = [{}, {}, { 'If-None-Match': '"1"' }];
    for (const headers of asked) {
      const answer = await ask(`${weir.url}${path}`, { headers });
      expect(cacheStatusOf(answer)).toMatchObject({ 'fwd-status': '200', ttl: '-100' });
      expect(Number(answer.headers['age'])).toBeGreaterThanOrEqual(toldSeconds);
    }
  });

  it('does not include one without a lifetime from the origin, for which the route decides', async () => {
    const path = '/told-expired/none';
    origin.on(path, { fields: ['Cache-Control', 'max-age=0', 'ETag', '"1"'], body: 'a' });
    const answer = await ask(`${weir.url}${path}`);
    expect(answer.headers).toMatchObject({ 'cache-control': 'max-age=300' });
    expect(Number(answer.headers['age'] ?? 0)).toBeLessThan(300);
  });
});

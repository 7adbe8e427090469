import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask } from './client.ts';

/** An origin's answer to a POST that says that it is what its target is now. */
const here = (path: string): string[] => ['Cache-Control', 'max-age=600', 'Content-Location', path];
const FRESH = ['Cache-Control', 'max-age=600'];
const MIB = 1024 * 1024;
let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    cache: { disk: { path: ./data, size: 256MiB } }
    origins: { app: { url: "${url}" } }
    routes:
      - { name: without, match: /without/*, origin: app, cache: { key: { query: none } } }
      - { name: told, match: { path: /told/*, methods: [POST] }, origin: app }
      - { name: all, match: /*, origin: app }`,
  (started) => ({ origin, weir } = started),
);

afterEach(() => origin.forget());

const post = (path: string, headers: Record<string, string> = {}) =>
  ask(`${weir.url}${path}`, { method: 'POST', body: 'x', headers });
const get = async (path: string): Promise<string> => (await ask(`${weir.url}${path}`)).body;
const purge = (tag: string) =>
  weir.admin('/purge', { method: 'POST', body: JSON.stringify({ tags: [tag] }) });

describe('RFC 9110 §9.3.3: the answer to a POST that is located at its target', () => {
  it('answers a GET', async () => {
    origin.on('POST /found', () => ({
      fields: [...here('/found'), 'Content-Type', 'a/b', 'ETag', '"1"', 'Date', new Date().toUTCString()],
      body: 'posted',
    }));
    const begunAt = Math.floor(Date.now() / 1000);
    expect((await post('/found')).body).toBe('posted');
    const { body, headers } = await ask(`${weir.url}/found`);
    expect(body).toBe('posted');
    expect(headers).toMatchObject({
      'content-type': 'a/b',
      etag: '"1"',
      age: expect.stringMatching(/^\d+$/),
    });
    expect(Number(headers['age'])).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) - begunAt);
    expect(headers['cache-status']).toContain('hit');
    expect(origin.count()).toBe(1);
  });

  it('answers it by the fields that the origin got, where it varies', async () => {
    origin.on('GET /varied', { fields: FRESH, body: 'got' });
    origin.on('POST /varied', { fields: [...here('/varied'), 'Vary', 'X-Forwarded-For'], body: 'posted' });
    await post('/varied', { 'x-forwarded-for': '192.0.2.1' });
    expect(await get('/varied')).toBe('posted');
  });

  it('replaces the stored entry, and is invalidated as that would be', async () => {
    let value = 'first';
    origin.on('GET /place', () => ({ fields: FRESH, body: value }));
    origin.on('POST /place', { fields: [...here('/place'), 'Surrogate-Key', 'place'], body: 'posted' });
    expect(await get('/place')).toBe('first');
    await post('/place');
    expect(await get('/place')).toBe('posted');
    value = 'second';
    await purge('place');
    expect(await get('/place')).toBe('second');
  });

  it.each(['the URL', 'a tag that the answer names'])(
    'is not used if something else has invalidated %s since its request',
    async (what) => {
      const held = gate();
      const path = what === 'the URL' ? '/raced/1' : '/raced/2';
      origin.on(`GET ${path}`, { fields: FRESH, body: 'later' });
      origin.on(`POST ${path}`, async () => {
        await held.promise;
        return { fields: [...here(path), 'Surrogate-Key', 'raced'], body: 'posted' };
      });
      const posted = post(path);
      await origin.seen(`POST ${path}`);
      await weir.admin('/purge', {
        method: 'POST',
        body: JSON.stringify(what === 'the URL' ? { urls: [path] } : { tags: ['raced'] }),
      });
      held.open();
      expect((await posted).body).toBe('posted');
      expect(await get(path)).toBe('later');
    },
  );

  it('is used if other POSTs were sent at the same time', async () => {
    const paths = Array.from({ length: 20 }, (_, i) => `/together/${i}`);
    const held = gate();
    for (const path of paths) {
      origin.on(`POST ${path}`, async () => {
        await held.promise;
        return { fields: here(path), body: 'posted' };
      });
    }
    const posted = Promise.all(paths.map((path) => post(path)));
    await Promise.all(paths.map((path) => origin.seen(`POST ${path}`)));
    held.open();
    await posted;
    expect(new Set(await Promise.all(paths.map(get)))).toEqual(new Set(['posted']));
    expect(origin.count()).toBe(paths.length);
  });

  it('is not used if it was invalidated between its head and its end', async () => {
    const held = gate();
    origin.on('GET /halfway', { fields: FRESH, body: 'later' });
    origin.on('POST /halfway', async (_request, answer) => {
      answer.head(200, [...here('/halfway'), 'Content-Length', '6']);
      await answer.write('pos');
      await held.promise;
      await answer.write('ted');
      answer.end();
    });
    const posted = fetch(`${weir.url}/halfway`, { method: 'POST', body: 'x' });
    const answer = await posted;
    await weir.admin('/purge', { method: 'POST', body: JSON.stringify({ urls: ['/halfway'] }) });
    held.open();
    expect(await answer.text()).toBe('posted');
    expect(await get('/halfway')).toBe('later');
  });

  it('is not stored if it is incomplete or too large', async () => {
    origin.on('GET /cut', { fields: FRESH, body: 'whole' });
    origin.on('POST /cut', async (_request, answer) => {
      answer.head(200, [...here('/cut'), 'Content-Length', '6']);
      await answer.write('pos');
      answer.cut();
    });
    await expect(
      fetch(`${weir.url}/cut`, { method: 'POST', body: 'x' }).then((a) => a.text()),
    ).rejects.toThrow();
    expect(await get('/cut')).toBe('whole');
    origin.on('GET /large', { fields: FRESH, body: 'small' });
    origin.on('POST /large', async (_request, answer) => {
      answer.head(200, here('/large'));
      await answer.write(Buffer.alloc(MIB));
      await answer.write('.');
      answer.end();
    });
    expect((await post('/large')).body).toHaveLength(MIB + 1);
    expect(await get('/large')).toBe('small');
  });

  it('is not stored if the origin got what it would not get with a GET', async () => {
    origin.on('GET *', { fields: FRESH, body: 'got' });
    origin.on('POST *', (request) => ({ fields: here(request.url), body: 'posted' }));
    await post('/without/1?a=b');
    expect(await get('/without/1')).toBe('got');
    await post('/steered', { 'x-original-url': '/elsewhere' });
    expect(await get('/steered')).toBe('got');
    await post('/told/1');
    expect(await get('/told/1')).toBe('got');
    await post('/without/2');
    expect(await get('/without/2')).toBe('posted');
  });
});

/** What the key leaves out steers nothing that is stored, over the wire. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

beforeAll(async () => {
  origin = await startScriptedOrigin();
  weir = await startWeir(`
    listen: { port: 0, workers: 1 }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${origin.url}" } }
    routes:
      - { name: keyed, match: /keyed/*, cache: { key: { headers: [x-tenant] } } }
      - { name: written, match: /written/*, write: { policy: through, update: true } }
      - { name: all, match: /* }
  `);
});

afterAll(async () => {
  await weir?.stop();
  await origin.close();
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  ask(`${weir.url}${path}`, { headers, method });

describe('a field that Connection takes away from the origin', () => {
  it.each([
    ['in the key', '/keyed/a', []],
    ['in Vary', '/varied', ['Vary', 'X-Tenant']],
  ])('stores nothing under its value: %s', async (_, path, vary) => {
    origin.on(path, ({ headers }) => ({
      fields: ['Cache-Control', 'max-age=60', ...vary],
      body: String(headers['x-tenant']),
    }));
    const alone = await get(path, { 'X-Tenant': 'one', Connection: 'close, X-Tenant' });
    expect(alone.body).toBe('undefined');
    expect(cacheStatusOf(alone)).toMatchObject({ fwd: 'bypass', detail: 'connection' });
    expect((await get(path, { 'X-Tenant': 'one' })).body).toBe('one');
  });

  it('does not matter where it is not there, or only for this hop', async () => {
    origin.on('/hop', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    await get('/hop');
    const again = await get('/hop', { Connection: 'TE, X-Tenant, close', TE: 'trailers' });
    expect(cacheStatusOf(again)).toMatchObject({ hit: true });
  });
});

describe('the answer to a HEAD', () => {
  it('changes no entry where the request had a field that the key leaves out', async () => {
    origin.on('/page', ({ headers }) => ({
      fields: [
        'ETag',
        '"1"',
        'Cache-Control',
        'max-age=0',
        'X-Page',
        headers['x-original-url'] ?? '/page',
      ].map(String),
      body: 'x',
    }));
    const confirmed = () => get('/page').then(({ headers }) => headers['x-page']);
    await confirmed();
    origin.on('GET /page', (_, answer) => answer.send(304, ['ETag', '"1"']));
    await get('/page', { 'X-Original-URL': '/admin' }, 'HEAD');
    expect(await confirmed()).toBe('/page');
    await get('/page', {}, 'HEAD');
    expect(await confirmed()).toBe('/page');
  });
});

describe('the content of a PUT', () => {
  it.each([
    ['X-Original-URL', { 'X-Original-URL': '/mine' }],
    ['Connection', { Connection: 'close, X-Part', 'X-Part': '1' }],
  ])('becomes no entry where the origin may have understood another request: %s', async (name, headers) => {
    const path = `/written/${name}`;
    const fresh = ['ETag', '"1"', 'Cache-Control', 'max-age=60'];
    origin.on(`PUT ${path}`, { status: 204, fields: fresh });
    origin.on(`GET ${path}`, { fields: fresh, body: "the origin's" });
    await ask(`${weir.url}${path}`, { method: 'PUT', headers, body: 'sent' });
    expect((await get(path)).body).toBe("the origin's");
  });
});

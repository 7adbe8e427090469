import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { idOf, startScene, type Scene } from './setting.ts';

let scene: Scene;

afterEach(() => scene.close());

const FAST = ', retry: { base: 1ms, max: 20ms, attempts: 10000 }';

async function delivered(id: string): Promise<void> {
  await expect.poll(async () => (await scene.write(id))['state']).toBe('done');
}

describe('readers of a URL with waiting writes', () => {
  const fields = ['Cache-Control', 'max-age=600'];

  it('reads: pending shows the body of the waiting PUT, and 404 for a waiting DELETE', async () => {
    scene = await startScene({ write: `${FAST}, reads: pending` });
    scene.origin.on('*', { status: 503 });
    scene.origin.on('GET *', { fields, body: 'old' });
    await scene.text('/items/1');
    await scene.send('PUT', '/items/1', '{"new":1}', { 'Content-Type': 'application/json' });
    const pending = await scene.get('/items/1');
    expect(pending.status).toBe(200);
    expect(pending.headers.get('content-type')).toBe('application/json');
    expect(pending.headers.get('cache-control')).toBe('no-store');
    expect(await pending.text()).toBe('{"new":1}');
    await scene.restart();
    expect(await scene.text('/items/1')).toBe('{"new":1}');
    await scene.send('DELETE', '/items/1');
    expect((await scene.get('/items/1')).status).toBe(404);
    expect(await scene.text('/items/2')).toBe('old');
    scene.origin.on('PUT *', { status: 204 });
    scene.origin.on('DELETE *', { status: 204 });
    scene.origin.on('GET *', { fields, body: 'after' });
    await expect.poll(() => scene.text('/items/1')).toBe('after');
  });

  it('reads: pending finds the writes to the URL that the request to the origin would have', async () => {
    scene = await startScene({
      write: `${FAST}, reads: pending`,
      cache: ', key: { query: { except: [utm] } }',
    });
    scene.origin.on('*', { status: 503 });
    scene.origin.on('GET *', { fields, body: 'old' });
    await scene.send('PUT', '/items/1?b=2&a=1', 'new');
    expect(await scene.text('/items/1?a=1&b=2')).toBe('old');
    await scene.send('PUT', '/items/1?a=1&b=2', 'newer');
    expect(await scene.text('/items/1?utm=x&b=2&a=1')).toBe('newer');
    // The path as it was written, although the request to the origin would differ.
    expect(await scene.text('/items/1?b=2&a=1')).toBe('newer');
    await scene.send('PUT', '/items/1?b=2&a=1', 'newest');
    expect(await scene.text('/items/1?b=2&a=1')).toBe('newest');
    expect(await scene.text('/items/1?a=2&utm=x')).toBe('old');
  });

  it('reads: pending continues for the read lag, also over a restart and after a feed has reported the write', async () => {
    const setting = {
      write: `${FAST}, reads: pending`,
      cache: ', feed: changes',
      more: 'feeds: { changes: { type: sse, url: "http://127.0.0.1:9/changes", read-lag: 60s } }',
    };
    scene = await startScene(setting);
    // The read side does not show the write yet.
    scene.origin.on('GET *', { fields, body: 'old' });
    scene.origin.on('PUT *', { status: 204 });
    await delivered(idOf(await scene.send('PUT', '/items/1', 'new')));
    expect(await scene.text('/items/1')).toBe('new');
    const purge = { method: 'POST', body: JSON.stringify({ urls: ['/items/1'] }) };
    expect((await scene.weir.admin('/purge', purge)).status).toBe(200);
    expect(await scene.text('/items/1')).toBe('new');
    await scene.restart();
    expect(await scene.text('/items/1')).toBe('new');
    expect(scene.origin.count('GET /items/1')).toBe(0);
  });

  it('reads: pending continues for the read lag also after an attempt of unknown outcome', async () => {
    scene = await startScene({
      write: `${FAST}, reads: pending`,
      origin: ', max-processing: 10s',
      cache: ', feed: changes',
      more: 'feeds: { changes: { type: sse, url: "http://127.0.0.1:9/changes", read-lag: 60s } }',
    });
    scene.origin.on('GET *', { fields, body: 'old' });
    scene.origin.on('PUT *', async (request, answer) => {
      await request.received;
      if (scene.origin.count('PUT *') === 1) answer.reset();
      else answer.send(204);
    });
    await delivered(idOf(await scene.send('PUT', '/items/1', 'new')));
    expect(await scene.text('/items/1')).toBe('new');
    await scene.restart();
    expect(await scene.text('/items/1')).toBe('new');
    expect(scene.origin.count('GET *')).toBe(0);
  });

  it('reads: pending shows the last delivered write when later ones are given up', async () => {
    scene = await startScene({
      write: `${FAST}, reads: pending, on-dead: skip`,
      cache: ', feed: changes',
      more: 'feeds: { changes: { type: sse, url: "http://127.0.0.1:9/changes", read-lag: 60s } }',
    });
    const held = gate();
    scene.origin.on('GET *', { fields, body: 'old' });
    scene.origin.on('PUT *', async (request) => {
      const body = (await request.received).toString();
      if (body === 'good') await held.promise;
      return { status: body === 'good' ? 204 : 400 };
    });
    await scene.send('PUT', '/items/1', 'good');
    const bad = idOf(await scene.send('PUT', '/items/1', 'bad'));
    expect(await scene.text('/items/1')).toBe('bad');
    held.open();
    await expect.poll(async () => (await scene.write(bad))['state']).toBe('dead');
    expect(await scene.text('/items/1')).toBe('good');
  });

  it('reads: pending ends with a later write through to the URL', async () => {
    scene = await startScene({
      policy: 'through',
      write: `${FAST}, reads: pending`,
      cache: ', feed: changes',
      more: 'feeds: { changes: { type: sse, url: "http://127.0.0.1:9/changes", read-lag: 60s } }',
      before: [
        '- { name: put, match: { path: "/items/{id}", methods: [PUT] }, origin: shop, cache: { feed: changes }, write: { policy: behind, reads: pending } }',
      ],
    });
    scene.origin.on('PUT *', { status: 204 });
    scene.origin.on('PATCH *', { status: 204 });
    await delivered(idOf(await scene.send('PUT', '/items/1', 'put')));
    expect(await scene.text('/items/1')).toBe('put');
    scene.origin.on('GET *', { fields, body: 'patched' });
    expect((await scene.send('PATCH', '/items/1', 'patch')).status).toBe(204);
    expect(await scene.text('/items/1')).toBe('patched');
  });

  it('reads: wait waits until the origin has the writes, and no longer than the limit', async () => {
    scene = await startScene({ write: `${FAST}, reads: wait`, origin: ', queue: { timeout: 10s }' });
    const held = gate();
    let value = 'old';
    scene.origin.on('GET /items/1', () => ({ fields, body: value }));
    scene.origin.on('PUT /items/1', async (request) => {
      await held.promise;
      value = (await request.received).toString();
      return { status: 204 };
    });
    await scene.send('PUT', '/items/1', 'new');
    await scene.origin.seen('PUT /items/1');
    const read = scene.text('/items/1');
    held.open();
    expect(await read).toBe('new');
    expect(scene.origin.count('GET /items/1')).toBe(1);
  });

  it('reads: wait uses no answer to a request that was sent before the origin had them', async () => {
    scene = await startScene({ write: `${FAST}, reads: wait`, origin: ', queue: { timeout: 4s }' });
    const [held, slow] = [gate(), gate()];
    let value = 'old';
    scene.origin.on('GET /items/1', async () => {
      const body = value;
      if (body === 'old') await slow.promise;
      return { fields, body };
    });
    scene.origin.on('PUT /items/1', async (request) => {
      await held.promise;
      value = (await request.received).toString();
      return { status: 204 };
    });
    const id = idOf(await scene.send('PUT', '/items/1', 'new'));
    const impatient = scene.text('/items/1');
    await scene.origin.seen('GET /items/1');
    const patient = scene.text('/items/1');
    await scene.get('/other');
    held.open();
    await delivered(id);
    await scene.get('/other');
    slow.open();
    expect([await impatient, await patient]).toEqual(['old', 'new']);
  });
});

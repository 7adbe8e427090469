import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { idOf, startScene, type Scene } from './setting.ts';

let scene: Scene;

afterEach(() => scene.close());

const fields = ['Cache-Control', 'max-age=600'];
const PLAIN = { more: 'listen: { port: 0, workers: 1 }' };
/**
 * With these rules an entry has another URL than the hold of its write, and a tag that the write did not
 * have.
 */
const LATER = {
  ...PLAIN,
  cache: ', key: { query: { except: [x] } }',
  write: ', invalidate: { tags: [lists] }',
  routes: [
    '- { name: list, match: "/lists/{id}", origin: shop, cache: { freshness: headers, tags: [lists] } }',
  ],
};

describe('a write during which the rules change', () => {
  it.each(['through', 'around'])('also invalidates by the later rules: %s', async (policy) => {
    scene = await startScene({ ...PLAIN, policy });
    const held = gate();
    let value = 'old';
    scene.origin.on('GET *', () => ({ fields, body: value }));
    scene.origin.on('PUT *', async () => {
      await held.promise;
      value = 'new';
      return { status: 204 };
    });
    const put = scene.send('PUT', '/items/1?x=1', 'new');
    await scene.origin.seen('PUT /items/1');
    await scene.reload({ ...LATER, policy });
    for (const path of ['/items/1?x=2', '/lists/1']) {
      await expect.poll(async () => (await scene.get(path)).headers.get('cache-status')).toContain('hit');
    }
    held.open();
    expect((await put).status).toBe(204);
    expect([await scene.text('/items/1?x=2'), await scene.text('/lists/1')]).toEqual(['new', 'new']);
  });

  it('also holds by the later rules, while its outcome is unknown', async () => {
    scene = await startScene({ ...PLAIN, policy: 'through' });
    const held = gate();
    scene.origin.on('GET *', { fields, body: 'old' });
    scene.origin.on('PUT *', async (_request, answer) => {
      await held.promise;
      answer.reset();
    });
    const put = scene.send('PUT', '/items/1?x=1', 'new');
    await scene.origin.seen('PUT /items/1');
    await scene.reload({ ...LATER, policy: 'through' });
    held.open();
    expect((await put).status).toBe(502);
    for (const path of ['/items/1', '/lists/1']) {
      await scene.text(path);
      const asked = scene.origin.count(`GET ${path}`);
      await scene.text(path);
      expect(scene.origin.count(`GET ${path}`)).toBe(asked + 1);
    }
  });

  it('also invalidates by the later rules: behind', async () => {
    const retry = 'retry: { base: 1ms, max: 20ms, attempts: 10000 }';
    scene = await startScene({ ...PLAIN, write: `, ${retry}` });
    let value = 'old';
    scene.origin.on('GET *', () => ({ fields, body: value }));
    scene.origin.on('PUT *', { status: 429 });
    const id = idOf(await scene.send('PUT', '/items/1?x=1', 'new'));
    await scene.reload({ ...LATER, write: `, invalidate: { tags: [lists] }, ${retry}` });
    await expect.poll(async () => (await scene.get('/lists/1')).headers.get('cache-status')).toContain('hit');
    value = 'new';
    scene.origin.on('PUT *', { status: 204 });
    await expect.poll(async () => (await scene.write(id))['state']).toBe('done');
    expect([await scene.text('/items/1?x=2'), await scene.text('/lists/1')]).toEqual(['new', 'new']);
  });
});

it('a write that waits for its turn while its origin is reconfigured is sent when its turn comes', async () => {
  const before = [
    '- { name: now, match: { path: "/items/{id}", methods: [POST] }, origin: shop, write: { policy: through } }',
  ];
  scene = await startScene({ before });
  const held = gate();
  scene.origin.on('PUT *', async () => {
    await held.promise;
    return { status: 204 };
  });
  scene.origin.on('POST *', { status: 204 });
  await scene.send('PUT', '/items/1', 'x');
  await scene.origin.seen('PUT /items/1');
  const waiting = scene.send('POST', '/items/1', 'x');
  await scene.reload({ before, origin: ', connections: 64' });
  held.open();
  expect((await waiting).status).toBe(204);
});

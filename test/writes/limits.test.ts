import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { startScene, type Scene } from './setting.ts';
import { sendSlowly } from './slow-request.ts';

let scene: Scene;

afterEach(() => scene.close());

const FAST = ', retry: { base: 1ms, max: 20ms, attempts: 10000 }';

describe('limits', () => {
  it('a larger body gets 413, or goes through', async () => {
    scene = await startScene({
      write: ', max-body: 1KiB',
      routes: [
        '- { name: large, match: "/large/{id}", origin: shop, write: { policy: behind, max-body: 1KiB, oversize: through } }',
      ],
    });
    scene.origin.on('PUT *', async (request) => ({
      status: 200,
      body: String((await request.received).length),
    }));
    const body = 'x'.repeat(5000);
    const refused = await scene.send('PUT', '/items/1', body);
    expect([refused.status, refused.headers.get('content-type')]).toEqual([413, 'application/problem+json']);
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('at most 1024 bytes') });
    const through = await scene.send('PUT', '/large/17', body);
    expect(through.status).toBe(200);
    expect(await through.text()).toBe('5000');
    const chunked = await fetch(`${scene.weir.url}/large/17`, {
      method: 'PUT',
      body: new Blob([body]).stream(),
      duplex: 'half',
    } as RequestInit);
    expect(await chunked.text()).toBe('5000');
  });

  it('a full journal answers 503 with Retry-After, or lets through what the URL order allows', async () => {
    scene = await startScene({
      more: 'journal: { size: 16KiB }',
      write: FAST,
      routes: [
        '- { name: other, match: "/other/{id}", origin: shop, write: { policy: behind, on-full: through } }',
      ],
    });
    scene.origin.on('PUT /items/*', { status: 503 });
    scene.origin.on('PUT /other/1', async (request) => ({ status: 200, body: await request.received }));
    const statuses = [];
    for (let i = 0; i < 10; i += 1)
      statuses.push((await scene.send('PUT', `/items/${i}`, 'x'.repeat(4000))).status);
    expect(statuses.slice(0, 2)).toEqual([202, 202]);
    expect(statuses.at(-1)).toBe(503);
    expect(await (await scene.send('PUT', '/other/1', 'y'.repeat(9000))).text()).toHaveLength(9000);
  });

  it('content that is being received is limited over all writes, and beyond that on-full decides', async () => {
    scene = await startScene({
      more: 'journal: { receiving: 4KiB }\n    listen: { port: 0, workers: 1 }',
      write: FAST,
      routes: [
        '- { name: other, match: "/other/{id}", origin: shop, write: { policy: behind, on-full: through } }',
      ],
    });
    scene.origin.on('PUT *', async (request) => ({ status: 200, body: await request.received }));
    const large = 'x'.repeat(9_000);
    // One write alone has room, whatever its size.
    expect((await scene.send('PUT', '/items/1', large)).status).toBe(202);
    const [slow, sent] = [sendSlowly(`${scene.weir.url}/items/2`, 'PUT', large), gate()];
    await slow.begun;
    slow.write('x', sent.open);
    await sent.promise;
    let refused = await scene.send('PUT', '/items/3', large);
    while (refused.status === 202) refused = await scene.send('PUT', '/items/3', large);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('cache-status')).toContain('detail=receiving');
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await (await scene.send('PUT', '/other/1', large)).text()).toBe(large);
    expect((await scene.send('PUT', '/items/4', 'small')).status).toBe(202);
    expect(await slow.finish()).toBe(202);
    expect((await scene.send('PUT', '/items/3', large)).status).toBe(202);
  });
});

import { afterEach, expect, it } from 'vitest';
import { startScene, type Scene } from './setting.ts';

let scene: Scene;

afterEach(() => scene.close());

const FRESH = ['Cache-Control', 'max-age=600'];

async function holds(): Promise<number> {
  const { fence } = (await scene.weir.stats()) as { fence: { holds: number } };
  return fence.holds;
}

it.each(['a lost connection', 'a gateway that gave up'])(
  'the next reader sees what the origin does after %s',
  async (how) => {
    scene = await startScene({ policy: 'around' });
    let value = 'old';
    scene.origin.on('GET *', () => ({ fields: FRESH, body: value }));
    scene.origin.on('PUT *', async (request, answer) => {
      await request.received;
      if (how === 'a gateway that gave up') answer.send(504);
      else answer.reset();
    });
    await scene.text('/items/1');
    expect((await scene.send('PUT', '/items/1', 'new')).status).toBeGreaterThanOrEqual(502);
    expect(await scene.text('/items/1')).toBe('old');
    value = 'new';
    expect(await scene.text('/items/1')).toBe('new');
  },
);

it('a write around does not wait for an earlier one of unknown outcome', async () => {
  scene = await startScene({ policy: 'around' });
  const responses = [504];
  scene.origin.on('POST *', () => ({ status: responses.shift() ?? 204 }));
  await scene.send('POST', '/items/1', 'one');
  expect(await holds()).toBeGreaterThan(0);
  expect((await scene.send('POST', '/items/1', 'two')).status).toBe(204);
  expect(await holds()).toBeGreaterThan(0);
});

it('a hold of unknown outcome ends after max-processing', async () => {
  scene = await startScene({ policy: 'around', origin: ', max-processing: 500ms' });
  scene.origin.on('GET *', { fields: FRESH, body: 'old' });
  scene.origin.on('POST *', { status: 504 });
  await scene.send('POST', '/items/1', 'one');
  await expect.poll(holds).toBe(0);
  await expect.poll(async () => (await scene.get('/items/1')).headers.get('cache-status')).toContain('hit');
});

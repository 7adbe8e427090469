import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { openState } from '../../proxy/state/state-store.ts';
import { appliesTo, newLedger } from './ledger.ts';
import { idOf, startScene, type Scene } from './setting.ts';

let scene: Scene;

afterEach(() => scene.close());

/** Changes the journal's first record while Weir does not run. */
async function damageFirst(change: (value: Buffer) => Buffer): Promise<void> {
  const opened = await openState(join(scene.weir.folder, 'data'), 0);
  if (opened.kind === 'failed') throw new Error(opened.reason);
  const writes = opened.state.table('writes');
  const [first] = writes.range({ from: Buffer.from('w'), limit: 1 });
  await opened.state.write(() => writes.put(first!.key, change(first!.value)));
  await opened.state.close();
}

it('a damaged record is listed as dead, stops only its URL, and can be discarded', async () => {
  scene = await startScene({ write: ', retry: { base: 1ms, max: 5ms, attempts: 10000 }' });
  scene.origin.on('PUT *', { status: 503 });
  const ids: string[] = [];
  for (const [path, body] of [
    ['/items/1', 'torn'],
    ['/items/1', 'behind it'],
    ['/items/2', 'elsewhere'],
  ] as const) {
    ids.push(idOf(await scene.send('PUT', path, body)));
  }
  await scene.weir.stop({ keep: true });
  await damageFirst((value) => value.subarray(0, value.length / 2));
  const ledger = newLedger();
  scene.origin.forget();
  appliesTo(scene.origin, ledger);
  await scene.restart();
  await expect.poll(async () => (await scene.writes('dead')).length).toBe(1);
  const [dead] = await scene.writes('dead');
  expect(dead).toMatchObject({ state: 'dead', lastError: expect.stringContaining('damaged') });
  await expect.poll(async () => (await scene.stats())['waiting']).toBe(1);
  expect(await scene.stats()).toMatchObject({ dead: 1, givenUp: 1, delivered: 1 });
  expect(await scene.weir.event('write-dead')).toMatchObject({ write: dead!['id'] });
  const path = `/writes/${String(dead!['id'])}`;
  expect((await scene.weir.admin(`${path}/retry`, { method: 'POST' })).status).toBe(409);
  // The log line of its acceptance has another name for it.
  expect(await scene.write(ids[0]!)).toEqual(dead);
  expect((await scene.weir.admin(path, { method: 'DELETE' })).status).toBe(200);
  await expect.poll(async () => (await scene.write(ids[1]!))['state']).toBe('done');
  expect([ledger.applied('/items/1'), ledger.applied('/items/2')]).toEqual([['behind it'], ['elsewhere']]);
  expect(await scene.stats()).toMatchObject({ waiting: 0, dead: 0, bytes: 0 });
  const { fence } = (await scene.weir.stats()) as { fence: { holds: number } };
  expect(fence.holds).toBe(0);
});

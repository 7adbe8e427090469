import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { idOf, startScene, type Scene } from './setting.ts';

let scene: Scene;

afterEach(() => scene.close());

const FAST = ', retry: { base: 1ms, max: 20ms, attempts: 10000 }';
const LONG = { Prefer: 'wait=600' };

describe('Prefer: wait', () => {
  it("RFC 7240 §4.3: delays the answer up to this time for the origin's own", async () => {
    scene = await startScene();
    scene.origin.on('PUT /items/1', { status: 201, fields: ['ETag', '"7"'], body: 'made' });
    const put = await scene.send('PUT', '/items/1', 'x', { Prefer: 'wait=10' });
    expect(put.status).toBe(201);
    expect(put.headers.get('etag')).toBe('"7"');
    expect(await put.text()).toBe('made');
    const held = gate();
    scene.origin.on('PUT /items/2', async () => {
      await held.promise;
      return { status: 204 };
    });
    expect((await scene.send('PUT', '/items/2', 'x', { Prefer: 'wait=1' })).status).toBe(202);
    held.open();
  });

  it("gets the origin's rejection", async () => {
    scene = await startScene();
    scene.origin.on('PUT *', { status: 422, body: 'no' });
    const put = await scene.send('PUT', '/items/1', 'x', LONG);
    expect([put.status, await put.text()]).toEqual([422, 'no']);
    expect(await scene.write(idOf(put))).toMatchObject({ state: 'dead' });
  });

  it('ends with 202 where no answer can come any more: the write was merged or discarded, or its origin is gone', async () => {
    scene = await startScene({ write: `${FAST}, coalesce: true` });
    scene.origin.on('*', { status: 400 });
    const first = idOf(await scene.send('PUT', '/items/1', 'first'));
    await expect.poll(async () => (await scene.write(first))['state']).toBe('dead');
    const send = async (body: string): Promise<{ id: string; answered: Promise<Response> }> => {
      const answered = scene.send('PUT', '/items/1', body, LONG);
      let id = '';
      await expect
        .poll(async () => {
          const { write } = scene.weir.events('write-accepted').at(-1)!;
          id = String(write);
          return (await scene.write(id))['bytes'];
        })
        .toBe(body.length);
      return { id, answered };
    };
    const merged = await send('one');
    const discarded = await send('three');
    const afterMerge = await merged.answered;
    expect(afterMerge.status).toBe(202);
    expect(await afterMerge.json()).toEqual({ id: merged.id, state: 'done', mergedInto: discarded.id });
    expect(await scene.write(merged.id)).toMatchObject({ mergedInto: discarded.id });
    expect((await scene.weir.admin(`/writes/${discarded.id}`, { method: 'DELETE' })).status).toBe(200);
    const afterDiscard = await discarded.answered;
    expect(afterDiscard.status).toBe(202);
    expect(await afterDiscard.json()).toEqual({ id: discarded.id, state: 'discarded' });
    const orphan = await send('orphan');
    await scene.weir.reload(`
      origins: { other: { url: "${scene.origin.url}" } }
      routes: [{ name: all, match: /* }]`);
    const afterGivingUp = await orphan.answered;
    expect(afterGivingUp.status).toBe(202);
    expect(await afterGivingUp.json()).toEqual({ id: orphan.id, state: 'dead' });
    expect(await scene.write(orphan.id)).toMatchObject({ state: 'dead' });
  });

  it('ends with 202 and the current state where the answer is too large to be stored', async () => {
    scene = await startScene();
    scene.origin.on('PUT *', { status: 200, body: 'x'.repeat(2 ** 20 + 1) });
    const put = await scene.send('PUT', '/items/1', 'x', LONG);
    expect(put.status).toBe(202);
    expect(await put.json()).toEqual({ id: idOf(put), state: 'done', status: 200 });
  });

  it('does not delay a stop, at which clients get 202', async () => {
    scene = await startScene({ write: FAST });
    scene.origin.on('*', { status: 503 });
    const put = scene.send('PUT', '/items/1', 'x', LONG);
    await scene.origin.seen('PUT /items/1');
    await scene.restart();
    expect((await put).status).toBe(202);
    expect(await scene.stats()).toMatchObject({ waiting: 1 });
  });

  it('gives an answer to no other client that repeats its Idempotency-Key with other credentials', async () => {
    scene = await startScene();
    const held = gate();
    scene.origin.on('POST *', async ({ headers }) => {
      await held.promise;
      return { status: 201, fields: ['Set-Cookie', `of=${headers.cookie}`], body: `for ${headers.cookie}` };
    });
    const send = (who: Record<string, string>): Promise<Response> =>
      scene.send('POST', '/items/1', 'x', { ...LONG, 'Idempotency-Key': '"k"', ...who });
    const senders: Record<string, string>[] = [
      { Cookie: 'alice' },
      { Cookie: 'bob' },
      { Cookie: 'alice', Authorization: 'a' },
      { Cookie: 'alice', Authorization: 'b' },
    ];
    const responses = senders.map(send);
    await expect.poll(() => scene.weir.events('write-accepted').length).toBe(senders.length);
    held.open();
    for (const [i, answer] of (await Promise.all(responses)).entries()) {
      expect(answer.status).toBe(201);
      expect(answer.headers.get('set-cookie')).toBe(`of=${senders[i]!['Cookie']}`);
      expect(await answer.text()).toBe(`for ${senders[i]!['Cookie']}`);
    }
    const keys = scene.origin.requests.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toEqual(senders.map(() => '"k"'));
  });

  it('gives a repetition the same answer, without its cookies', async () => {
    scene = await startScene();
    const held = gate();
    scene.origin.on('POST *', async () => {
      await held.promise;
      return { status: 201, fields: ['Set-Cookie', 'sid=1'], body: 'made' };
    });
    const send = (): Promise<Response> =>
      scene.send('POST', '/items/1', 'x', { ...LONG, 'Idempotency-Key': '"k"', Cookie: 'alice' });
    const first = send();
    await scene.origin.seen('POST /items/1');
    const repeated = send();
    await expect.poll(() => scene.weir.events('write-repeated').length).toBe(1);
    held.open();
    expect((await first).headers.get('set-cookie')).toBe('sid=1');
    const answer = await repeated;
    expect([answer.status, await answer.text()]).toEqual([201, 'made']);
    expect(answer.headers.get('set-cookie')).toBe(null);
    expect(scene.origin.count()).toBe(1);
  });

  it('takes no room from content that is being received', async () => {
    scene = await startScene({
      more: 'journal: { receiving: 4KiB }\n    listen: { port: 0, workers: 1 }',
      write: FAST,
    });
    const held = gate();
    scene.origin.on('PUT *', async () => {
      await held.promise;
      return { status: 204 };
    });
    const waiting = scene.send('PUT', '/items/1', 'x'.repeat(3000), LONG);
    await scene.origin.seen('PUT /items/1');
    const send = async () => (await scene.send('PUT', '/items/2', 'x'.repeat(3000))).status;
    await expect.poll(send).toBe(202);
    held.open();
    expect((await waiting).status).toBe(204);
  });
});

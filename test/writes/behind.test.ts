import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { appliesTo, newLedger } from './ledger.ts';
import { idOf, startScene, type Scene } from './setting.ts';
import { sendSlowly } from './slow-request.ts';

let scene: Scene;
/** The Weir of a test that stops, kills or configures it. */
let own: Scene | null = null;

const FAST = ', retry: { base: 1ms, max: 20ms, attempts: 10000 }';

/** Each test has URLs of its own. */
beforeAll(async () => {
  const route = (name: string, origin: string, write: string): string =>
    `- { name: ${name}, match: "/${name}/{id}", origin: ${origin}, cache: { freshness: headers }, write: { policy: behind${write} } }`;
  scene = await startScene({
    write: FAST,
    origins: (url) => ({
      brief: `{ url: "${url}", max-processing: 100ms }`,
      lossy: `{ url: "${url}", max-processing: 700ms }`,
    }),
    routes: [
      route('skip', 'shop', `${FAST}, on-dead: skip`),
      route('few', 'shop', ', retry: { base: 1ms, max: 5ms, attempts: 3 }'),
      route('brief', 'brief', FAST),
      route('lossy', 'lossy', FAST),
      route('merged', 'shop', ', coalesce: true'),
    ],
  });
});

beforeEach(() => scene.origin.forget());

afterEach(async () => {
  await own?.close();
  own = null;
});

afterAll(() => scene.close());

async function deliveredBy(by: Scene, id: string): Promise<void> {
  await expect.poll(async () => (await by.write(id))['state']).toBe('done');
}

function delivered(id: string): Promise<void> {
  return deliveredBy(scene, id);
}

describe('a write behind', () => {
  it('is acknowledged with 202 and an id, and delivered with a key of its own', async () => {
    const ledger = newLedger();
    appliesTo(scene.origin, ledger);
    const put = await scene.send('PUT', '/items/1-1', 'one', { 'Content-Type': 'text/plain' });
    expect(put.status).toBe(202);
    const id = idOf(put);
    expect(await put.json()).toEqual({ id, state: 'waiting' });
    await delivered(id);
    expect(ledger.applied('/items/1-1')).toEqual(['one']);
    const [request] = scene.origin.requests;
    expect(request!.headers['idempotency-key']).toBe(`"${id}"`);
    expect(request!.headers['content-type']).toBe('text/plain');
    expect(await scene.write(id)).toMatchObject({ id, state: 'done', method: 'PUT', attempts: 1 });
    for (const event of ['write-accepted', 'write-delivered']) {
      expect(await scene.weir.event(event)).toMatchObject({ write: id, method: 'PUT' });
    }
    expect(await scene.stats()).toMatchObject({ waiting: 0, done: 1, accepted: 1, delivered: 1 });
  });

  it('keeps the order of writes to one URL, over failures and restarts', async () => {
    own = await startScene({ write: FAST });
    const ledger = newLedger();
    own.origin.on('*', { status: 503 });
    const bodies = Array.from({ length: 20 }, (_, i) => `v${i}`);
    for (const body of bodies) expect((await own.send('PUT', '/items/1', body)).status).toBe(202);
    await own.origin.seen('PUT /items/1', 3);
    const received = await Promise.all(own.origin.requests.map((request) => request.received));
    expect(new Set(received.map(String))).toEqual(new Set(['v0']));
    await own.restart();
    appliesTo(own.origin, ledger);
    await expect.poll(() => ledger.applied('/items/1')).toEqual(bodies);
  });

  it('is delivered after a kill, with the same key', async () => {
    own = await startScene({ write: FAST });
    own.origin.on('*', { status: 503 });
    const put = await own.send('PUT', '/items/1', 'one');
    await own.origin.seen('PUT /items/1', 1);
    await own.weir.kill();
    const ledger = newLedger();
    appliesTo(own.origin, ledger);
    await own.restart();
    await deliveredBy(own, idOf(put));
    expect(ledger.keys).toEqual([`"${idOf(put)}"`]);
  });

  it('to one URL does not wait for those to another', async () => {
    const held = gate();
    scene.origin.on('PUT /items/4-slow', async () => {
      await held.promise;
      return { status: 204 };
    });
    scene.origin.on('PUT /items/4-quick', { status: 204 });
    const slow = idOf(await scene.send('PUT', '/items/4-slow', 'x'));
    await delivered(idOf(await scene.send('PUT', '/items/4-quick', 'x')));
    expect((await scene.write(slow))['state']).toBe('waiting');
    held.open();
    await delivered(slow);
  });

  it('invalidates stored entries from its acceptance on', async () => {
    const held = gate();
    const fields = ['Cache-Control', 'max-age=600'];
    scene.origin.on('GET /items/5-1', { fields, body: 'old' });
    scene.origin.on('PUT /items/5-1', async () => {
      await held.promise;
      return { status: 204 };
    });
    await scene.text('/items/5-1');
    const id = idOf(await scene.send('PUT', '/items/5-1', 'new'));
    for (const before of [1, 2]) {
      // A client that asks while the last answer is still being passed on gets that answer.
      await expect
        .poll(async () => {
          expect((await scene.get('/items/5-1')).headers.get('cache-status')).not.toContain('hit');
          return scene.origin.count('GET /items/5-1');
        })
        .toBeGreaterThan(before);
    }
    held.open();
    await delivered(id);
    scene.origin.on('GET /items/5-1', { fields, body: 'new' });
    expect(await scene.text('/items/5-1')).toBe('new');
    const asked = scene.origin.count('GET /items/5-1');
    // From memory, from disk, or from the flight that is still being stored: the origin is not asked again.
    expect(await scene.text('/items/5-1')).toBe('new');
    expect(scene.origin.count('GET /items/5-1')).toBe(asked);
  });

  it('is written to files that only their owner can read', async () => {
    const state = join(scene.weir.folder, 'data', 'state');
    expect(statSync(state).mode & 0o077).toBe(0);
    for (const name of ['data.mdb', 'lock.mdb']) expect(statSync(join(state, name)).mode & 0o077).toBe(0);
  });

  it('delays a write through to its URL until it is delivered', async () => {
    own = await startScene({
      write: FAST,
      origin: ', queue: { timeout: 300ms }',
    });
    own.origin.on('*', { status: 503 });
    await own.send('PUT', '/items/1', 'one');
    await own.restart({
      policy: 'through',
      write: FAST,
      origin: ', queue: { timeout: 300ms }',
    });
    const busy = await own.send('PUT', '/items/1', 'two');
    expect(busy.status).toBe(503);
    expect(busy.headers.get('retry-after')).toBe('1');
    const ledger = newLedger();
    appliesTo(own.origin, ledger);
    await expect.poll(async () => (await own!.stats())['waiting']).toBe(0);
    const three = await own.send('PUT', '/items/1', 'three');
    expect([three.status, await three.text()]).toEqual([204, '']);
    expect(ledger.applied('/items/1')).toEqual(['one', 'three']);
  });

  it('becomes dead, and is not lost, if its origin is no longer in the configuration', async () => {
    own = await startScene({ write: FAST });
    own.origin.on('*', { status: 503 });
    const ids = [];
    for (const body of ['a', 'b']) ids.push(idOf(await own.send('PUT', '/items/1', body)));
    await own.weir.reload(`
      origins: { other: { url: "${own.origin.url}" } }
      routes: [{ name: all, match: /* }]`);
    await expect.poll(async () => (await own!.writes('dead')).map(({ id }) => id)).toEqual(ids);
  });

  it('becomes dead, and is not lost, if its origin is removed while it arrives', async () => {
    own = await startScene({ write: FAST });
    const sending = sendSlowly(`${own.weir.url}/items/1`, 'PUT', 'a');
    await sending.begun;
    await own.weir.reload(`
      origins: { other: { url: "${own.origin.url}" } }
      routes: [{ name: all, match: /* }]`);
    expect(await sending.finish()).toBe(202);
    await expect.poll(async () => (await own!.writes('dead')).length).toBe(1);
  });

  it('becomes dead also after a dead one if its origin is removed, and is not sent without one', async () => {
    own = await startScene({ write: FAST });
    own.origin.on('*', { status: 400 });
    const first = idOf(await own.send('PUT', '/items/1', 'a'));
    await expect.poll(async () => (await own!.write(first))['state']).toBe('dead');
    const second = idOf(await own.send('PUT', '/items/1', 'b'));
    await own.weir.reload(`
      origins: { other: { url: "${own.origin.url}" } }
      routes: [{ name: all, match: /* }]`);
    await expect.poll(async () => (await own!.writes('dead')).map(({ id }) => id)).toEqual([first, second]);
    expect(await own.stats()).toMatchObject({ waiting: 0, dead: 2, givenUp: 2 });
    expect((await own.weir.admin(`/writes/${second}/retry`, { method: 'POST' })).status).toBe(409);
    expect((await own.weir.admin(`/writes/${first}`, { method: 'DELETE' })).status).toBe(200);
    expect(await own.stats()).toMatchObject({ waiting: 0, dead: 1 });
  });
});

describe('retries', () => {
  it('are made after 408, 425, 429 and 5xx, no earlier than Retry-After says', async () => {
    const responses = [408, 425, 429, 500, 502, 503, 504];
    scene.origin.on('PUT /items/9-1', () => {
      const status = responses.shift();
      return status === 503 ? { status, fields: ['Retry-After', '1'] } : { status: status ?? 204 };
    });
    const id = idOf(await scene.send('PUT', '/items/9-1', 'x'));
    await delivered(id);
    expect(await scene.write(id)).toMatchObject({ attempts: 8 });
    const times = scene.origin.requests.map(({ at }) => at);
    expect(times[6]! - times[5]!).toBeGreaterThan(990);
  });

  it('are not made after other 4xx: the write is dead and stops its URL until an operator decides (on-dead: hold)', async () => {
    const ledger = newLedger();
    scene.origin.on('PUT *', { status: 400 });
    const first = idOf(await scene.send('PUT', '/items/10-1', 'one'));
    await expect.poll(async () => (await scene.write(first))['state']).toBe('dead');
    const second = idOf(await scene.send('PUT', '/items/10-1', 'two'));
    appliesTo(scene.origin, ledger);
    scene.origin.on('PUT *', async (request) => {
      await ledger.apply(request);
      return { status: 204 };
    });
    expect(await scene.write(second)).toMatchObject({
      state: 'waiting',
      waitsFor: { id: first, state: 'dead' },
    });
    expect(await (await scene.weir.admin('/healthz')).json()).toMatchObject({
      problems: expect.arrayContaining([
        expect.stringMatching(`writes to /items/10-1 of the origin .* wait for PUT ${first}, which is dead`),
      ]),
    });
    expect((await scene.weir.admin(`/writes/${first}/retry`, { method: 'POST' })).status).toBe(200);
    await delivered(second);
    expect(ledger.applied('/items/10-1')).toEqual(['one', 'two']);
  });

  it('are not needed for later writes when a dead one is discarded', async () => {
    scene.origin.on('PUT *', (request) => ({ status: request.body.toString() === 'bad' ? 400 : 204 }));
    scene.origin.on('PUT *', async (request) => ({
      status: (await request.received).toString() === 'bad' ? 400 : 204,
    }));
    const bad = idOf(await scene.send('PUT', '/items/11-1', 'bad'));
    const good = idOf(await scene.send('PUT', '/items/11-1', 'good'));
    await expect.poll(async () => (await scene.write(bad))['state']).toBe('dead');
    expect((await scene.weir.admin(`/writes/${bad}`, { method: 'DELETE' })).status).toBe(200);
    await delivered(good);
    expect((await scene.weir.admin(`/writes/${bad}`)).status).toBe(404);
  });

  it('with on-dead: skip come after the later writes, which a dead one does not stop', async () => {
    const ledger = newLedger();
    scene.origin.on('PUT *', async (request) => {
      if ((await request.received).toString() === 'bad' && ledger.applied('/skip/12-1').length === 0) {
        return { status: 400 };
      }
      await ledger.apply(request);
      return { status: 204 };
    });
    const bad = idOf(await scene.send('PUT', '/skip/12-1', 'bad'));
    await expect.poll(async () => (await scene.write(bad))['state']).toBe('dead');
    await delivered(idOf(await scene.send('PUT', '/skip/12-1', 'good')));
    await scene.weir.admin(`/writes/${bad}/retry`, { method: 'POST' });
    await delivered(bad);
    expect(ledger.applied('/skip/12-1')).toEqual(['good', 'bad']);
  });

  it('end after the last attempt, when the write is dead', async () => {
    scene.origin.on('PUT /few/13-1', { status: 503 });
    const id = idOf(await scene.send('PUT', '/few/13-1', 'x'));
    await expect.poll(async () => (await scene.write(id))['state']).toBe('dead');
    expect(scene.origin.count('PUT /few/13-1')).toBe(3);
    expect((await scene.writes('dead')).map((write) => write['id'])).toContain(id);
  });

  it('do not fail because of what an earlier attempt may have done', async () => {
    for (const method of ['PUT', 'DELETE']) {
      const responses = [500, method === 'PUT' ? 412 : 404];
      scene.origin.on(`${method} /brief/*`, () => ({ status: responses.shift() ?? 400 }));
    }
    const put = idOf(await scene.send('PUT', '/brief/14-2', 'x', { 'if-match': '"a"' }));
    const gone = idOf(await scene.send('DELETE', '/brief/14-3'));
    await expect.poll(async () => (await scene.write(put))['state']).toBe('uncertain');
    await expect.poll(async () => (await scene.write(gone))['state']).toBe('done');
  });

  it('are uncertain if a precondition fails after an attempt of unknown outcome', async () => {
    scene.origin.on('PUT /brief/14-1', async (request, answer) => {
      await request.received;
      if (scene.origin.count() === 1) answer.reset();
      else answer.send(412);
    });
    const id = idOf(await scene.send('PUT', '/brief/14-1', 'x', { 'If-Match': '"1"' }));
    await expect.poll(async () => (await scene.write(id))['state']).toBe('uncertain');
    expect((await scene.writes('dead')).map((write) => write['id'])).toContain(id);
  });

  it('are the only requests to the URL while an attempt may still be carried out', async () => {
    let lostAt = 0;
    scene.origin.on('PUT /lossy/15-1', async (request, answer) => {
      await request.received;
      if (lostAt > 0) return { status: 204 };
      lostAt = performance.now();
      answer.reset();
      return undefined;
    });
    const first = idOf(await scene.send('PUT', '/lossy/15-1', 'one'));
    const second = idOf(await scene.send('PUT', '/lossy/15-1', 'two'));
    await delivered(first);
    await delivered(second);
    expect(scene.origin.requests.at(-1)!.at - lostAt).toBeGreaterThan(690);
  });
});

describe('Idempotency-Key', () => {
  it("is the client's own if the request has one, and its write is accepted once", async () => {
    const ledger = newLedger();
    appliesTo(scene.origin, ledger);
    const key = { 'Idempotency-Key': '"abc"' };
    const first = await scene.send('POST', '/items/16-1', 'x', key);
    const again = await scene.send('POST', '/items/16-1', 'x', key);
    expect(idOf(again)).toBe(idOf(first));
    const other = await scene.send('POST', '/items/16-1', 'y', key);
    expect(other.status).toBe(422);
    expect(other.headers.get('content-type')).toBe('application/problem+json');
    await delivered(idOf(first));
    expect(idOf(await scene.send('POST', '/items/16-1', 'x', key))).toBe(idOf(first));
    expect(ledger.keys).toEqual(['"abc"']);
  });
});

describe('coalesce', () => {
  it('merges PUTs that were never attempted, under the last one’s key, and no others', async () => {
    const ledger = newLedger();
    const held = gate();
    scene.origin.on('* *', { status: 204 });
    for (const method of ['PUT', 'PATCH']) {
      scene.origin.on(`${method} *`, async (request) => {
        await held.promise;
        await ledger.apply(request);
        return { status: 204 };
      });
    }
    const ids = [];
    for (const body of ['one', 'two', 'three']) {
      ids.push(idOf(await scene.send('PUT', '/merged/20-1', body)));
      if (body === 'one') await scene.origin.seen('PUT /merged/20-1');
    }
    await scene.send('PATCH', '/merged/20-1', 'patch');
    await scene.send('PUT', '/merged/20-1', 'guarded', { 'If-Match': '"1"' });
    const last = idOf(await scene.send('PUT', '/merged/20-1', 'last'));
    held.open();
    await delivered(last);
    expect(ledger.applied('/merged/20-1')).toEqual(['one', 'three', 'patch', 'guarded', 'last']);
    expect(ledger.keys[1]).toBe(`"${ids[2]}"`);
    expect(await scene.write(ids[1]!)).toMatchObject({ state: 'done', mergedInto: ids[2] });
    expect((await scene.stats())['merged']).toBeGreaterThan(0);
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { MemoryState } from '../support/memory-state.ts';
import type { OriginResponse } from '../../proxy/writes/journal/record.ts';
import { numberOf, offer } from './offered.ts';
import { open } from './opened.ts';
import { idOf, startScene, type Scene } from './setting.ts';

const KEY = { 'Idempotency-Key': '"k"' };
const WAIT = { ...KEY, Prefer: 'wait=600' };

describe('a repetition of a request with the same Idempotency-Key', () => {
  let scene: Scene;

  afterEach(() => scene.close());

  const kill = async (): Promise<void> => {
    await scene.weir.kill();
    await scene.restart();
  };
  const done = (state: string, id: string) =>
    expect.poll(async () => (await scene.write(id))['state']).toBe(state);

  it.each([
    ['the same run', async () => {}],
    ['a restart', () => scene.restart()],
    ['a kill -9', kill],
  ] as const)(
    'gets the origin\u2019s response in %s, without its cookies, and is not sent to the origin',
    async (_when, between) => {
      scene = await startScene();
      const made = { status: 201, fields: ['Location', '/items/7', 'Set-Cookie', 'sid=1'], body: 'made' };
      scene.origin.on('POST *', made);
      const first = await scene.send('POST', '/items/1', 'x', KEY);
      expect(await first.json()).toEqual({ id: idOf(first), state: 'waiting' });
      await done('done', idOf(first));
      await between();
      const repeated = await scene.send('POST', '/items/1', 'x', WAIT);
      expect([repeated.status, idOf(repeated), await repeated.text()]).toEqual([201, idOf(first), 'made']);
      expect(repeated.headers.get('location')).toBe('/items/7');
      expect(repeated.headers.get('preference-applied')).toBe('wait');
      expect(repeated.headers.get('set-cookie')).toBe(null);
      const acknowledged = await scene.send('POST', '/items/1', 'x', KEY);
      expect(acknowledged.status).toBe(202);
      expect(await acknowledged.json()).toEqual({ id: idOf(first), state: 'done', status: 201 });
      expect(scene.origin.count()).toBe(1);
    },
  );

  it('gets the rejection of a dead write, also after a kill, until that is retried', async () => {
    scene = await startScene();
    scene.origin.on('POST *', { status: 422, body: 'no' });
    const id = idOf(await scene.send('POST', '/items/1', 'x', KEY));
    await done('dead', id);
    await kill();
    const refused = await scene.send('POST', '/items/1', 'x', WAIT);
    expect([refused.status, await refused.text()]).toEqual([422, 'no']);
    const acknowledged = await scene.send('POST', '/items/1', 'x', KEY);
    expect(await acknowledged.json()).toEqual({ id, state: 'dead', status: 422 });
    const held = gate();
    scene.origin.on('POST *', async () => {
      await held.promise;
      return { status: 200, body: 'yes' };
    });
    await scene.weir.admin(`/writes/${id}/retry`, { method: 'POST' });
    const waiting = await scene.send('POST', '/items/1', 'x', KEY);
    expect(await waiting.json()).toEqual({ id, state: 'waiting' });
    held.open();
    const carriedOut = await scene.send('POST', '/items/1', 'x', WAIT);
    expect([carriedOut.status, await carriedOut.text()]).toEqual([200, 'yes']);
  });

  it('gets the state of the write where its response is too large to be stored', async () => {
    scene = await startScene({ more: 'journal: { responses: 1KiB }' });
    scene.origin.on('POST *', { status: 201, body: 'x'.repeat(2_000) });
    const first = await scene.send('POST', '/items/1', 'x', WAIT);
    expect((await first.text()).length).toBe(2_000);
    const repeated = await scene.send('POST', '/items/1', 'x', WAIT);
    expect(repeated.status).toBe(202);
    expect(await repeated.json()).toEqual({ id: idOf(first), state: 'done', status: 201 });
  });

  it('is a new write after the first one was discarded', async () => {
    scene = await startScene();
    scene.origin.on('POST *', { status: 422 });
    const id = idOf(await scene.send('POST', '/items/1', 'x', KEY));
    await done('dead', id);
    await scene.weir.admin(`/writes/${id}`, { method: 'DELETE' });
    scene.origin.on('POST *', { status: 200 });
    const again = await scene.send('POST', '/items/1', 'x', WAIT);
    expect(again.status).toBe(200);
    expect(idOf(again)).not.toBe(id);
  });
});

describe('responses in the journal', () => {
  const keyed = (i: number) => ({ clientKey: { scoped: `key ${i}`, digest: 'd' }, idempotencyKey: `"${i}"` });
  const response = (bytes: number): OriginResponse => ({
    status: 201,
    fields: ['Set-Cookie', 'a=b', 'ETag', '"1"'],
    content: new Uint8Array(bytes).fill(120),
  });
  type Opened = Awaited<ReturnType<typeof open>>;

  async function deliver({ journal }: Opened, i: number, bytes: number, more = keyed(i)): Promise<number> {
    const number = numberOf(await journal.accept(offer(`/${i}`, 'x', more)));
    const begun = await journal.begin(number, 0);
    if (begun.kind !== 'begun') throw new Error(begun.kind);
    const record = { ...begun.record, state: 'done', status: 201 } as const;
    await journal.leave(number, {
      section: 'done',
      record,
      response: response(bytes),
      timedHold: null,
      moreTags: [],
    });
    return number;
  }

  it('have no cookies, remain after a crash, and are stored only for requests that can be repeated', async () => {
    const state = new MemoryState();
    const opened = await open(state);
    const number = await deliver(opened, 1, 3);
    const unkeyed = await deliver(opened, 2, 3, { clientKey: null, idempotencyKey: null } as never);
    const { tables } = (await open(state.crashed())).journal;
    expect(tables.response(number)).toEqual({
      status: 201,
      fields: ['ETag', '"1"'],
      content: new Uint8Array(3).fill(120),
    });
    expect(tables.response(unkeyed)).toBe(null);
  });

  it('take no more room than their limit, and the latest remain', async () => {
    const opened = await open(new MemoryState());
    const { tables } = opened.journal;
    const numbers = [];
    for (let i = 0; i < 3; i += 1) numbers.push(await deliver(opened, i, 400));
    expect(numbers.map((number) => tables.response(number) === null)).toEqual([true, false, false]);
    expect(tables.counts().responseBytes).toBeGreaterThan(800);
    expect(tables.counts().responseBytes).toBeLessThanOrEqual(1_000);
    expect(tables.response(await deliver(opened, 3, 2_000))).toBe(null);
    expect(tables.response(numbers[2]!)).not.toBe(null);
  });

  it('are deleted with the record of their write', async () => {
    const opened = await open(new MemoryState());
    const { tables } = opened.journal;
    const number = await deliver(opened, 0, 3);
    for (let i = 1; i <= 3; i += 1) await deliver(opened, i, 3);
    expect([tables.record('done', number), tables.response(number)]).toEqual([null, null]);
    for (let i = 4; i <= 6; i += 1)
      await deliver(opened, i, 0, { clientKey: null, idempotencyKey: null } as never);
    expect(tables.counts()).toMatchObject({ done: 3, responseBytes: 0 });
  });

  it('stay within their limit after an earlier version, which does not count them, has run', async () => {
    const state = new MemoryState();
    const opened = await open(state);
    await deliver(opened, 0, 400);
    await state.write(() => {
      const { responseBytes: _, ...before } = opened.journal.counts;
      state.table('meta').put('journal', Buffer.from(JSON.stringify(before)));
    });
    for (let i = 1; i <= 6; i += 1) await deliver(opened, i, 400);
    const rows = [...state.table('write-responses').range()];
    const bytes = rows.reduce((sum, { value }) => sum + value.length, 0);
    expect(bytes).toBeLessThanOrEqual(1_000);
    expect(opened.journal.counts.responseBytes).toBe(bytes);
  });

  it('are given to no client if they are damaged', async () => {
    const state = new MemoryState();
    const opened = await open(state);
    const number = await deliver(opened, 1, 3);
    const table = state.table('write-responses');
    const [row] = table.range();
    row!.value[12]! ^= 1;
    await state.write(() => table.put(row!.key, row!.value));
    expect(opened.journal.tables.response(number)).toBe(null);
  });

  it('are missing in records of an earlier version, which can be read nevertheless', async () => {
    const state = new MemoryState();
    const opened = await open(state);
    const number = await deliver(opened, 1, 3);
    const counts = state.table('meta').get('journal')!;
    const { responseBytes: _, ...before } = JSON.parse(counts.toString()) as Record<string, number>;
    const read = opened.journal.tables.record('done', number);
    if (read?.kind !== 'record') throw new Error('there is no record');
    const { status: __, ...record } = read.record;
    await state.write(() => {
      state.table('meta').put('journal', Buffer.from(JSON.stringify(before)));
      opened.journal.tables.putRecord('done', number, record as never);
      const [row] = state.table('write-responses').range();
      state.table('write-responses').remove(row!.key);
    });
    const { journal } = await open(state.crashed());
    expect(journal.progress(number)).toEqual({ state: 'done', status: null, mergedInto: null });
    expect(journal.tables.counts().responseBytes).toBe(0);
    expect(await journal.accept(offer('/1', 'x', keyed(1)))).toMatchObject({ kind: 'repeated', number });
  });
});

import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../proxy/threads/clock.ts';
import { OriginCells, originCellsSource } from '../../proxy/origins/origin-cells.ts';
import { configOf } from '../config/load.ts';
import { gate } from '../support/barrier.ts';
import { MemoryState } from '../support/memory-state.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { openWrites } from './opened.ts';

const HOUR_MS = 3_600_000;
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Before {
  readonly origin: ScriptedOrigin;
  readonly state: MemoryState;
}

async function nothingBefore(): Promise<Before> {
  const origin = await startScriptedOrigin();
  closing.push(() => origin.close());
  return { origin, state: new MemoryState() };
}

/** The coordinator's part of writes, with a wall clock that can be set. */
async function start(before?: Before, setByMs = 0) {
  const { origin, state } = before ?? (await nothingBefore());
  let stepMs = setByMs;
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + stepMs };
  const config = configOf(`
    origins: { shop: { url: "${origin.url}", max-processing: 10m } }
    routes: [{ name: item, match: /*, write: { policy: behind, retry: { base: 1ms, max: 5ms, attempts: 1000 } } }]`);
  const { writes } = await openWrites({ config, state, clock });
  const cells = new OriginCells(originCellsSource(['shop'], null));
  writes.configure(config, Object.values(config.origins), cells);
  closing.unshift(() => writes.close());
  const { acceptWrite } = writes.callsOf(1);
  return {
    origin,
    state,
    admin: writes.admin,
    stop: () => writes.close(),
    setBy(ms: number): void {
      stepMs += ms;
    },
    async put(target: string): Promise<string> {
      const accepted = await acceptWrite({
        queue: { origin: 'shop', authority: null, target },
        route: 'item',
        method: 'PUT',
        authority: 'weir',
        scheme: 'http',
        fields: [],
        body: Buffer.from('x'),
        idempotencyKey: null,
        clientKey: null,
        merges: false,
        tags: [`url:${target}`],
        waitMs: 0,
      });
      if (accepted.kind !== 'accepted') throw new Error(accepted.kind);
      return accepted.id;
    },
  };
}

it('a wall clock that is set back does not delay a write', async () => {
  const { origin, admin, setBy, put } = await start();
  const held = gate();
  let responses = 0;
  origin.on('PUT *', async () => {
    await held.promise;
    responses += 1;
    return { status: responses === 1 ? 503 : 204 };
  });
  await put('/1');
  const last = await put('/1');
  await origin.seen('PUT /1');
  setBy(-HOUR_MS);
  held.open();
  await expect.poll(() => admin.show(last)?.state).toBe('done');
});

it('a wall clock that is set forward does not shorten the wait for an attempt of unknown outcome', async () => {
  const { origin, admin, setBy, put } = await start();
  const held = gate();
  origin.on('PUT *', async (request, answer) => {
    await request.received;
    if (origin.count() === 1) return answer.reset();
    await held.promise;
    return { status: 204 };
  });
  const first = await put('/1');
  const next = await put('/1');
  await origin.seen('PUT /1', 2);
  setBy(HOUR_MS);
  held.open();
  await expect.poll(() => admin.show(first)?.state).toBe('done');
  expect(admin.stats().timedHolds).toBe(1);
  expect(admin.show(next)).toMatchObject({ state: 'waiting', attempts: 0 });
});

it('operators see the time of the next attempt by the wall clock', async () => {
  const { origin, admin, setBy, put } = await start();
  origin.on('PUT *', { status: 503, fields: ['Retry-After', '3600'] });
  setBy(-24 * HOUR_MS);
  const id = await put('/1');
  await expect.poll(() => admin.show(id)?.lastError).not.toBe(null);
  const { acceptedAt, nextAttemptAt } = admin.show(id)!;
  expect(Math.round((Date.parse(nextAttemptAt!) - Date.parse(acceptedAt)) / HOUR_MS)).toBe(1);
});

it('a wall clock that is set back between two runs does not delay a write', async () => {
  const { origin, state, put, stop } = await start();
  origin.on('PUT *', { status: 503 });
  const id = await put('/1');
  await origin.seen('PUT /1');
  await stop();
  origin.on('PUT *', { status: 204 });
  const { admin } = await start({ origin, state: state.copy() }, -HOUR_MS);
  await expect.poll(() => admin.show(id)?.state).toBe('done');
});

import { expect, it, vi } from 'vitest';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import type { Log } from '../../proxy/observability/logger.ts';
import { OriginCounters } from '../../proxy/origins/origin-counters.ts';
import { Journal } from '../../proxy/writes/journal/journal.ts';
import { Writes } from '../../proxy/writes/writes.ts';
import { configOf } from '../config/load.ts';
import { settle } from '../support/barrier.ts';
import { MemoryState } from '../support/memory-state.ts';

it("a journal that can't be read fails the wait of the worker that asks, and logs it", async () => {
  const state = new MemoryState();
  const errors: object[] = [];
  const log = { info: () => {}, error: (line: object) => void errors.push(line) } as unknown as Log;
  const writes = await Writes.open({
    config: configOf('origins: { shop: { url: "http://shop" } }'),
    state,
    fence: await Fence.open(1000, { state, clock }),
    clock,
    log,
    originCounters: new OriginCounters(),
    workers: 1,
  });
  const { acceptWrite, originResponse } = writes.callsOf(1);
  const accepted = await acceptWrite({
    queue: { origin: 'shop', authority: null, target: '/1' },
    route: 'item',
    method: 'PUT',
    authority: 'weir',
    scheme: 'http',
    fields: [],
    body: Buffer.from('x'),
    idempotencyKey: null,
    clientKey: null,
    merges: false,
    tags: ['url:/1'],
    waitMs: 60_000,
  });
  if (accepted.kind !== 'accepted') throw new Error(accepted.kind);
  const fault = new Error("the state can't be read");
  const progress = vi.spyOn(Journal.prototype, 'progress').mockImplementation(() => {
    throw fault;
  });
  writes.endWaiting();
  await settle();
  expect(errors).toEqual([{ event: 'response-wait-failed', err: fault }]);
  await expect(originResponse({ ticket: accepted.ticket! })).rejects.toBe(fault);
  progress.mockRestore();
  await writes.close();
});

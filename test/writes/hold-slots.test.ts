import { describe, expect, it } from 'vitest';
import { clientAddress } from '../../policies/http/forwarding.ts';
import { decideSlot, holdClientOf } from '../../policies/writes.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { HoldSlots } from '../../proxy/writes/through/hold-slots.ts';
import { MemoryState } from '../support/memory-state.ts';
import { open } from './opened.ts';

const ONE = holdClientOf('192.0.2.1');
const OTHER = holdClientOf('192.0.2.2');
const LIMITS = { heldPerClient: 2, held: 3 };
const SIZE = 2 ** 20;
const END = { moreTags: [], entryTags: null };

let tickets = 0;
function request(client: string) {
  tickets += 1;
  const queue = { origin: 'shop', authority: null, target: `/${tickets}` };
  const rest = { waitMs: 0, waiting: 0, maxProcessingMs: 60_000 };
  return { ticket: tickets, queue, client, tags: [`url:${queue.target}`], ...rest };
}

describe('slots of holds', () => {
  it.each([
    [{ client: 1, all: 2 }, { kind: 'free' }],
    [
      { client: 2, all: 2 },
      { kind: 'refused', bound: 'client' },
    ],
    [
      { client: 0, all: 3 },
      { kind: 'refused', bound: 'all' },
    ],
    [
      { client: 2, all: 3 },
      { kind: 'refused', bound: 'client' },
    ],
  ])('are limited for each client and in all: %o', (held, decision) => {
    expect(decideSlot(held, LIMITS)).toEqual(decision);
  });

  it('are counted by address, and for IPv6 by network', () => {
    expect(ONE).not.toBe(OTHER);
    expect(holdClientOf('2001:db8::1')).toBe(holdClientOf('2001:DB8:0:0:ffff::2'));
    expect(holdClientOf('2001:db8:0:1::1')).not.toBe(holdClientOf('2001:db8::1'));
    expect(holdClientOf('fe80::1%eth0')).toBe(holdClientOf('fe80::2'));
    expect(holdClientOf('::1')).not.toBe(holdClientOf('1::'));
  });

  it.each([
    [false, ['X-Forwarded-For', '192.0.2.9'], '10.0.0.1'],
    [true, [], '10.0.0.1'],
    [true, ['X-Forwarded-For', '203.0.113.1, 192.0.2.9'], '192.0.2.9'],
    [true, ['Forwarded', 'for=203.0.113.1, for="[2001:db8::1]:80"'], '2001:db8::1'],
    [true, ['X-Forwarded-For', 'unknown'], '10.0.0.1'],
  ])('belong to the client that the nearest trusted proxy names: %s, %o', (trusted, fields, address) => {
    const peer = { scheme: 'http', authority: 'a', remoteAddress: '::ffff:10.0.0.1' } as const;
    expect(clientAddress({ ...peer, trusted, fields })).toBe(address);
  });

  it('are given back where the outcome is known, and kept where it is unknown', async () => {
    const { gate, slots } = await open(new MemoryState(), SIZE, LIMITS);
    for (const outcome of ['applied', 'rejected', 'unknown', 'unknown'] as const) {
      const admission = await gate.admit(1, request(ONE));
      if (admission.kind !== 'admitted') throw new Error(admission.kind);
      await gate.settle({ hold: admission.hold, outcome, ...END });
    }
    expect(slots.taken).toBe(2);
    expect(await gate.admit(1, request(ONE))).toEqual({ kind: 'over-limit', bound: 'client' });
    expect(gate.takeSlot(1, request(ONE))).toEqual({ kind: 'over-limit', bound: 'client' });
    const admitted = gate.takeSlot(2, request(OTHER));
    expect(admitted.kind).toBe('admitted');
    expect(gate.takeSlot(1, request(OTHER))).toEqual({ kind: 'over-limit', bound: 'all' });
    expect(slots.refused).toEqual({ client: 2, all: 1 });
    if (admitted.kind === 'admitted') gate.giveSlot(admitted.slot);
    expect((await gate.admit(2, request(OTHER))).kind).toBe('admitted');
  });

  it('of a write without a hold go to the hold that it leaves, once', async () => {
    const { gate, slots, timedHolds } = await open(new MemoryState(), SIZE, LIMITS);
    const admitted = gate.takeSlot(1, request(ONE));
    if (admitted.kind !== 'admitted') throw new Error(admitted.kind);
    await gate.holdUnknown({ slot: admitted.slot, ...request(ONE) });
    gate.giveSlot(admitted.slot);
    expect([slots.taken, timedHolds.size]).toEqual([1, 1]);
  });

  it('do not prevent a hold from being placed', async () => {
    const { gate, slots, timedHolds } = await open(new MemoryState(), SIZE, { heldPerClient: 1, held: 1 });
    await gate.holdUnknown({ slot: 1, ...request(ONE) });
    await gate.holdUnknown({ slot: 2, ...request(ONE) });
    expect([slots.taken, timedHolds.size]).toEqual([2, 2]);
  });

  it("are given back when a hold can't be stored", async () => {
    const state = new MemoryState();
    const { gate, slots } = await open(state, SIZE, LIMITS);
    const admitted = gate.takeSlot(1, request(ONE));
    if (admitted.kind !== 'admitted') throw new Error(admitted.kind);
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    expect(await gate.admit(1, request(ONE))).toEqual({ kind: 'not-durable' });
    await expect(gate.holdUnknown({ slot: admitted.slot, ...request(ONE) })).rejects.toThrow();
    expect(slots.taken).toBe(0);
  });

  it('are given back when a hold of unknown outcome ends', async () => {
    const { gate, slots } = await open(new MemoryState(), SIZE, LIMITS);
    await gate.holdUnknown({ slot: 0, ...request(ONE), maxProcessingMs: 1 });
    await expect.poll(() => slots.taken).toBe(0);
  });

  it('of a dead worker go to the holds that its writes leave', async () => {
    const { gate, slots, timedHolds, isHeld } = await open(new MemoryState(), SIZE, LIMITS);
    const around = request(ONE);
    gate.takeSlot(1, around);
    const known = gate.takeSlot(1, request(OTHER));
    if (known.kind === 'admitted') gate.giveSlot(known.slot);
    await gate.admit(1, request(ONE));
    gate.workerDied(1);
    await expect.poll(() => timedHolds.size).toBe(2);
    expect(slots.taken).toBe(2);
    expect(around.tags.map(isHeld)).toEqual([true]);
  });

  it('of a worker that died before the request for them are given back', async () => {
    const { gate, slots } = await open(new MemoryState(), SIZE, LIMITS);
    gate.workerDied(1);
    gate.takeSlot(1, request(ONE));
    expect(slots.taken).toBe(0);
  });

  it("of a dead worker invalidate its tags where the hold can't be stored", async () => {
    const state = new MemoryState();
    const { gate, slots, fence } = await open(state, SIZE, LIMITS);
    const around = request(ONE);
    gate.takeSlot(1, around);
    const before = fence.sequence;
    state.beforeCommit = () => Promise.reject(new Error('EIO'));
    gate.workerDied(1);
    await expect.poll(() => fence.touchedSince(fence.hasher.hash(around.tags), before)).toBe(true);
    expect(slots.taken).toBe(0);
  });

  it('are taken after a restart, for running and for timed holds', async () => {
    const state = new MemoryState();
    const { gate } = await open(state, SIZE, LIMITS);
    await gate.admit(1, request(ONE));
    await gate.holdUnknown({ slot: 0, ...request(ONE) });
    const crashed = state.crashed();
    const after = await open(crashed, SIZE, LIMITS);
    expect(after.slots.taken).toBe(2);
    expect(await after.gate.admit(1, request(ONE))).toEqual({ kind: 'over-limit', bound: 'client' });
    const again = await open(crashed.crashed(), SIZE, LIMITS);
    expect(again.slots.taken).toBe(2);
    expect((await again.gate.admit(1, request(OTHER))).kind).toBe('admitted');
  });

  it('are logged in one line for many requests', () => {
    const queues: string[] = [];
    const log = {
      ...createLog({ level: 'silent', thread: 'test', fd: 1 }),
      warn: (queue: object) => void queues.push(JSON.stringify(queue)),
    };
    let nowMs = 0;
    const durableClock = { nowMs: () => nowMs };
    const slots = new HoldSlots({
      limits: () => ({ heldPerClient: 1, held: 1 }),
      durableClock,
      log: log as never,
    });
    slots.take(ONE);
    for (let i = 0; i < 5; i += 1) slots.take(ONE);
    nowMs = 10_000;
    slots.take(OTHER);
    expect(queues.map((queue) => JSON.parse(queue))).toMatchObject([
      { bound: 'client', refused: 1 },
      { bound: 'all', refused: 5 },
    ]);
  });
});

import { expect, it } from 'vitest';
import type { Origin, OriginHandler, OriginRequest } from '../../origin-adapters/origin.ts';
import { systemClock as clock } from '../../proxy/threads/clock.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { Attempts } from '../../proxy/writes/delivery/attempts.ts';
import type { OriginResponse } from '../../proxy/writes/journal/record.ts';
import { configOf } from '../config/load.ts';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from './offered.ts';
import { open } from './opened.ts';

const log = createLog({ level: 'silent', thread: 'test', fd: 1 });
const config = configOf(`
  origins: { shop: { url: "http://127.0.0.1:1", max-processing: 60s } }
  routes:
    - name: item
      match: /*
      write: { policy: behind, invalidate: { tags: [items] }, retry: { attempts: 2 } }`);

/** An attempt at the only waiting write, with this answer of the origin. */
async function attempt(answer: (handler: OriginHandler) => void, state = new MemoryState()) {
  const parts = await open(state);
  const { journal, queues, durableClock } = parts;
  const number = numberOf(await journal.accept(offer('/1', 'x')));
  const sent: OriginRequest[] = [];
  const ended: (OriginResponse | null)[] = [];
  const moved: string[] = [];
  const attempts = new Attempts({
    journal,
    clock,
    durableClock,
    log,
    random: () => 1,
    isOver: () => false,
    moved: (queue) => moved.push(queue),
    ended: (_number, response) => ended.push(response),
  });
  attempts.configure(config);
  const origin = {
    send(request: OriginRequest, handler: OriginHandler) {
      sent.push(request);
      answer(handler);
    },
  } as unknown as Origin;
  const make = async () => {
    const [row] = journal.tables.dues('shop', null);
    return row === undefined ? null : attempts.make(row, { name: 'shop', origin });
  };
  return { ...parts, state, queues, number, sent, ended, moved, attempts, make };
}

const answering =
  (status: number, fields: string[] = []) =>
  (handler: OriginHandler): void => {
    void handler.onHead(status, fields);
    void handler.onData(Buffer.from('body'));
    handler.onEnd([]);
  };

const failing = (maybeProcessed: boolean) => (handler: OriginHandler) =>
  handler.onFailure({
    kind: 'connection_read_timeout',
    status: 502,
    message: 'no answer',
    maybeProcessed,
    cause: null,
  } as Parameters<OriginHandler['onFailure']>[0]);

it('makes a write done that the origin applied, and ends its hold', async () => {
  const made = await attempt(answering(201, ['Location', '/1/2', 'Connection', 'close']));
  expect(await made.make()).toBe('answered');
  expect(made.journal.progress(made.number)).toEqual({ state: 'done', status: 201, mergedInto: null });
  expect(made.fence.holds).toBe(0);
  expect(made.ended).toEqual([
    { status: 201, fields: ['Location', '/1/2'], content: new Uint8Array(Buffer.from('body')) },
  ]);
  expect(made.moved).toHaveLength(1);
  expect(made.sent[0]).toMatchObject({ method: 'PUT', path: '/1' });
});

it('retries a failed attempt, and gives the write up after the last attempt', async () => {
  const made = await attempt(failing(false));
  expect(await made.make()).toBe('failed');
  expect(made.journal.progress(made.number).state).toBe('waiting');
  expect(made.ended).toEqual([]);
  expect(await made.make()).toBe('failed');
  expect(made.journal.progress(made.number)).toMatchObject({ state: 'dead', status: null });
  expect(made.ended).toEqual([null]);
  expect(made.attempts.counters).toMatchObject({ delivered: 0, retries: 1, dead: 1 });
  expect(made.fence.holds).toBe(1);
});

it('makes a rejected write dead, which stops its queue', async () => {
  const made = await attempt(answering(422));
  const next = numberOf(await made.journal.accept(offer('/1', 'y')));
  await made.make();
  expect(made.journal.progress(made.number)).toMatchObject({ state: 'dead', status: 422 });
  expect([...made.journal.tables.dues('shop', null)]).toEqual([]);
  expect(made.journal.progress(next).state).toBe('waiting');
});

it('remembers that an attempt of unknown outcome may still be carried out', async () => {
  const made = await attempt(failing(true));
  await made.make();
  const read = made.journal.tables.record('waiting', made.number);
  if (read?.kind !== 'record') throw new Error('there is no record');
  expect(read.record).toMatchObject({ attempts: 1, isAttempting: false, wasUncertain: true });
  expect(read.record.unknownUntilMs).toBeGreaterThan(made.durableClock.nowMs() + 50_000);
});

it('does not send damaged content', async () => {
  const made = await attempt(answering(204));
  const { tables } = made.journal;

  await made.state.write(() => tables.putBody(made.number, Buffer.from('torn')));
  expect(await made.make()).toBe('nothing');
  expect(made.sent).toEqual([]);
  expect(made.journal.progress(made.number).state).toBe('dead');
});

it('stores no incomplete response, but takes its status as the outcome', async () => {
  const made = await attempt((handler) => {
    void handler.onHead(204, []);
    failing(true)(handler);
  });
  expect(await made.make()).toBe('answered');
  expect(made.journal.progress(made.number)).toMatchObject({ state: 'done', status: 204 });
  expect(made.ended).toEqual([null]);
});

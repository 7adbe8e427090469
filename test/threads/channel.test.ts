import { MessageChannel } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Channel } from '../../proxy/threads/channel.ts';
import { until } from '../support/barrier.ts';

type Ours = { double(value: number): number; fail(argument: null): void };
type Theirs = Record<never, never>;

let ports: MessageChannel;
let caller: Channel<Ours, Theirs>;
let callee: Channel<Theirs, Ours>;
let failures: [string, string][];

beforeEach(() => {
  ports = new MessageChannel();
  failures = [];
  const noted = (name: string, error: unknown): void => void failures.push([name, (error as Error).message]);
  caller = new Channel<Ours, Theirs>(ports.port1, {}, noted);
  const handlers = {
    double: (value: number) => value * 2,
    fail: () => {
      throw Object.assign(new Error('no'), { code: 'ENO' });
    },
  };
  callee = new Channel<Theirs, Ours>(ports.port2, handlers, noted);
});

afterEach(() => {
  callee.closed();
  ports.port1.close();
});

describe('a channel', () => {
  it('answers calls, and gives the caller the message and the code of a failure', async () => {
    expect(await caller.call('double', 21)).toBe(42);
    await expect(caller.call('fail', null)).rejects.toMatchObject({ message: 'no', code: 'ENO' });
  });

  it('reports a failed call also on the side where it failed', async () => {
    expect(await caller.call('double', 21)).toBe(42);
    expect(failures).toEqual([]);
    await expect(caller.call('fail', null)).rejects.toThrow('no');
    expect(failures).toEqual([['fail', 'no']]);
  });

  it('reports a failed notification on the side where it failed, and goes on', async () => {
    caller.tell('fail', null);
    await until(() => failures.length === 1);
    expect(failures).toEqual([['fail', 'no']]);
    expect(await caller.call('double', 1)).toBe(2);
  });

  it('rejects open and later calls when the other side has ended', async () => {
    const open = caller.call('double', 1);
    caller.closed();
    await expect(open).rejects.toThrow('the other thread has ended');
    await expect(caller.call('double', 1)).rejects.toThrow('the other thread has ended');
  });
});

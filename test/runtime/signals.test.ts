import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { watchSignals } from '../../proxy/runtime/signals.ts';

/** A process that a test signals, and that records how it ended. */
class Host extends EventEmitter {
  ppid = 4711;
  readonly exits: number[] = [];
  readonly env: Record<string, string>;

  constructor(env: Record<string, string> = {}) {
    super();
    this.env = env;
  }

  exit(code: number): void {
    this.exits.push(code);
  }
}

const OF_NPM = { npm_package_name: '@weir-cache/weir', npm_lifecycle_event: 'start' };

describe('signals', () => {
  it('stop gracefully at the first, and at once at the second', async () => {
    const host = new Host();
    const signals = watchSignals(host, () => 0);
    host.emit('SIGINT');
    expect(await signals.stop).toBe('SIGINT');
    expect(host.exits).toEqual([]);
    host.emit('SIGINT');
    expect(host.exits).toEqual([1]);
  });

  it("include one copy from npm of the terminal's signal, which is not a second signal, unlike a later one", () => {
    let now = 1000;
    const host = new Host(OF_NPM);
    watchSignals(host, () => now);
    host.emit('SIGINT');
    now += 100;
    host.emit('SIGINT');
    expect(host.exits).toEqual([]);
    now += 1000;
    host.emit('SIGINT');
    expect(host.exits).toEqual([1]);
  });

  it('reload at SIGHUP, also at one that arrived before the start was done', () => {
    const host = new Host();
    const signals = watchSignals(host);
    host.emit('SIGHUP');
    let reloads = 0;
    signals.onHangup(() => (reloads += 1));
    expect(reloads).toBe(1);
    host.emit('SIGHUP');
    expect(reloads).toBe(2);
  });

  it('stop when the npm that started Weir has ended', async () => {
    const host = new Host(OF_NPM);
    const signals = watchSignals(host);
    host.ppid = 1;
    expect(await signals.stop).toBe('npm-ended');
  });

  it('do not count a stop through the admin side', async () => {
    const host = new Host();
    const signals = watchSignals(host);
    signals.end('admin');
    signals.end('admin');
    expect(await signals.stop).toBe('admin');
    expect(host.exits).toEqual([]);
    host.emit('SIGTERM');
    expect(host.exits).toEqual([1]);
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import type { FeedEvent, FeedFailure } from '../../origin-adapters/feeds/feed.ts';
import type { Change } from '../../policies/change.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import { NO_MARK, type VersionMark } from '../../policies/feed-version.ts';
import type { InvalidationSink, FeedHealthReport, FeedInvalidation } from '../../proxy/feeds/sink.ts';
import { FeedRunner } from '../../proxy/feeds/runner.ts';
import { gate, settle, until, type Gate } from '../support/barrier.ts';
import { FakeClock } from './fake-clock.ts';
import { ScriptedFeed } from './scripted-feed.ts';

const maxSilenceMs = 10_000;

const config: FeedConfig = {
  name: 'shop',
  type: 'sse',
  format: 'json',
  maxSilenceMs,
  readLagMs: 0,
  versionField: 'version',
  map: [
    {
      when: { table: 'products' },
      invalidate: { tags: ['product:{id}'], urls: ['/products/{id}'], prefixes: [] },
    },
  ],
  options: {},
};

/** Records invalidations, and lets a test delay or reject them. */
class RecordingSink implements InvalidationSink {
  readonly applied: Omit<FeedInvalidation, 'mark'>[] = [];
  readonly marks: VersionMark[] = [];
  readonly heads: string[] = [];
  saved: string | null;
  held: Gate | null = null;
  refusal: Error | null = null;
  #sequence = 0;

  constructor(saved: string | null) {
    this.saved = saved;
  }

  position(): string | null {
    return this.saved;
  }

  mark(): VersionMark {
    return NO_MARK;
  }

  async apply(invalidation: FeedInvalidation): Promise<{ sequence: number }> {
    const { mark, ...applied } = invalidation;
    this.applied.push(applied);
    this.marks.push(mark);
    await this.held?.promise;
    if (this.refusal !== null) throw this.refusal;
    this.saved = invalidation.position ?? this.saved;
    this.#sequence += 1;
    return { sequence: this.#sequence };
  }

  announceHead(_feed: string, position: string): void {
    this.heads.push(position);
  }

  get tags(): string[] {
    return this.applied.flatMap((one) => one.tags);
  }
}

class Scene {
  readonly clock = new FakeClock();
  readonly feed = new ScriptedFeed();
  readonly sink: RecordingSink;
  readonly health: FeedHealthReport[] = [];
  readonly lines: string[] = [];
  readonly runner: FeedRunner;
  random = 0.5;
  /** How long it takes to map a change. */
  mappingMs = 0;
  /** Called before a change is mapped. */
  onMapping = (): void => undefined;
  /** Called when the feed's state is published. */
  onHealth = (): void => undefined;

  constructor(saved: string | null) {
    this.sink = new RecordingSink(saved);
    this.runner = new FeedRunner({
      config,
      adapter: { showPosition: (position) => `#${position}` },
      feed: this.feed,
      clock: this.clock,
      random: () => this.random,
      log: (level, event) => this.lines.push(`${level} ${event}`),
      sink: this.sink,
      health: {
        set: (_feed, report) => {
          this.health.push(report);
          this.onHealth();
        },
      },
      scope: ['feed:shop', 'origin:shop'],
      tagsOf: (named) => {
        this.onMapping();
        this.clock.advance(this.mappingMs);
        return [...named.tags, ...named.urls.map((url) => `url:${url}`)];
      },
    });
    this.runner.start();
  }

  get state(): string {
    return this.health.at(-1)!.state;
  }

  head(position: string | null = null): FeedEvent {
    return { kind: 'head', position, askedAtMonotonicMs: this.clock.monotonicMs() };
  }

  async live(): Promise<void> {
    this.feed.say(this.head());
    await until(() => this.state === 'live', 'live');
  }

  async reopened(times: number): Promise<void> {
    for (let i = 0; i < 50 && this.feed.opened.length < times; i += 1) {
      await settle();
      this.clock.advance(100);
    }
    await settle();
    expect(this.feed.opened).toHaveLength(times);
  }
}

let scene: Scene;

function scripted(saved: string | null): Scene {
  scene = new Scene(saved);
  return scene;
}

function change(position: string, ...ids: string[]): FeedEvent {
  return { kind: 'change', position, changes: ids.map((id) => product({ id })) };
}

function product(after: Change['after'], table = 'products'): Change {
  return { message: [{ table }], before: null, after, known: 'all' };
}

function failure(retry: FeedFailure['retry'], kind: FeedFailure['kind'] = 'unreachable'): FeedEvent {
  return { kind: 'failed', failure: { kind, retry, message: `${kind} (${retry})`, cause: null } };
}

/** Counts turns of the event loop. */
function countTurns(): { readonly count: number; stop(): void } {
  const turns = { count: 0, stop: () => clearImmediate(next) };
  const onTurn = (): void => {
    turns.count += 1;
    next = setImmediate(onTurn);
  };
  let next = setImmediate(onTurn);
  return turns;
}

afterEach(async () => {
  scene.sink.held?.open();
  await scene.runner.stop();
  expect(scene.feed.isOpen).toBe(false);
  expect(scene.clock.timers).toBe(0);
});

describe('a feed runner: what is applied', () => {
  it('opens after the last durable position', () => {
    expect(scripted('7').feed.latest.after).toBe('7');
  });

  it('applies all tags of a transaction in one call', async () => {
    const { sink, feed } = scripted('7');
    feed.say(change('8', 'a', 'b'));
    await until(() => sink.applied.length > 0);
    expect(sink.applied).toEqual([
      {
        feed: 'shop',
        kind: 'change',
        position: '8',
        tags: ['product:a', 'url:/products/a', 'product:b', 'url:/products/b'],
      },
    ]);
  });

  it('acknowledges a position only after it is durable', async () => {
    const { sink, feed } = scripted('7');
    sink.held = gate();
    feed.say(change('8', 'a'));
    await until(() => sink.applied.length > 0);
    await settle();
    expect(feed.acknowledged).toEqual([]);
    sink.held.open();
    await until(() => feed.acknowledged.length > 0);
    expect(feed.acknowledged).toEqual(['8']);
  });

  it('combines waiting changes into one call, in order and with the last position', async () => {
    const { sink, feed } = scripted('7');
    sink.held = gate();
    feed.say(change('8', 'a'));
    await until(() => sink.applied.length === 1);
    feed.say(change('9', 'b'), change('10', 'c'));
    await settle();
    sink.held.open();
    await until(() => feed.acknowledged.includes('10'));
    expect(sink.applied.map((one) => one.position)).toEqual(['8', '10']);
    expect(sink.applied[1]!.tags.filter((tag) => tag.startsWith('product'))).toEqual([
      'product:b',
      'product:c',
    ]);
  });

  it('keeps a gap apart from changes that wait with it', async () => {
    const { sink, feed } = scripted('7');
    sink.held = gate();
    feed.say(change('8', 'a'));
    await until(() => sink.applied.length === 1);
    feed.say(change('9', 'b'), { kind: 'gap', reason: 'trimmed', position: '20' }, change('21', 'c'));
    await settle();
    sink.held.open();
    await until(() => feed.acknowledged.includes('21'));
    expect(sink.applied.map(({ kind, position }) => [kind, position])).toEqual([
      ['change', '8'],
      ['change', '9'],
      ['gap', '20'],
      ['change', '21'],
    ]);
  });

  it('advances the position over changes that the map does not match, and counts them', async () => {
    const { sink, feed, runner } = scripted('7');
    feed.say({ kind: 'change', position: '8', changes: [product({ id: '1' }, 'orders')] });
    await until(() => feed.acknowledged.length > 0);
    expect(sink.applied).toEqual([{ feed: 'shop', kind: 'change', position: '8', tags: [] }]);
    expect(runner.status()).toMatchObject({ changes: 1, unmapped: 1, invalidations: 0, position: '#8' });
  });

  it('invalidates its scope at a gap', async () => {
    const { sink, feed, runner } = scripted('7');
    feed.say({ kind: 'gap', reason: 'trimmed', position: '20' });
    await until(() => feed.acknowledged.length > 0);
    expect(sink.applied).toEqual([
      { feed: 'shop', kind: 'gap', position: '20', tags: ['feed:shop', 'origin:shop'] },
    ]);
    expect(runner.status().gaps).toBe(1);
  });

  it('invalidates its scope at an unintelligible message', async () => {
    const { sink, feed, runner } = scripted('7');
    feed.say({ kind: 'unintelligible', position: '8', reason: 'no JSON' });
    await until(() => feed.acknowledged.length > 0);
    expect(sink.applied[0]).toMatchObject({
      kind: 'scope',
      position: '8',
      tags: ['feed:shop', 'origin:shop'],
    });
    expect(runner.status()).toMatchObject({ unintelligible: 1, incomplete: 0 });
  });

  it('invalidates its scope in addition to known tags when a template finds no value', async () => {
    const { sink, feed, runner } = scripted('7');
    feed.say({ kind: 'change', position: '8', changes: [product({ id: 'a' }), product({ name: 'x' })] });
    await until(() => feed.acknowledged.length > 0);
    expect(sink.applied[0]).toMatchObject({ kind: 'scope', position: '8' });
    expect(new Set(sink.tags)).toEqual(new Set(['product:a', 'url:/products/a', 'feed:shop', 'origin:shop']));
    expect(runner.status()).toMatchObject({ incomplete: 1, unintelligible: 0 });
  });

  it('begins with a gap where it has no position, even if the adapter reports none', async () => {
    const { sink, feed } = scripted(null);
    feed.say(change('1', 'a'));
    await until(() => feed.acknowledged.length > 0);
    expect(sink.applied.map((one) => one.kind)).toEqual(['gap', 'change']);
  });

  it('begins with a single gap if the adapter reports one', async () => {
    const { sink, feed } = scripted(null);
    feed.say({ kind: 'gap', reason: 'no position', position: null }, change('1', 'a'));
    await until(() => feed.acknowledged.length > 0);
    expect(sink.applied.map((one) => one.kind)).toEqual(['gap', 'change']);
  });

  it('stops reading while the sink is slow, without loss', async () => {
    const { sink, feed } = scripted('0');
    sink.held = gate();
    const flood = Array.from({ length: 20_000 }, (_, i) => change(String(i + 1), `p${i + 1}`));
    feed.say(...flood);
    await settle();
    expect(feed.taken).toBeLessThan(15_000);
    sink.held.open();
    await until(() => feed.acknowledged.includes('20000'));
    expect(new Set(sink.tags).size).toBe(40_000);
    expect(Math.max(...sink.applied.map((one) => one.tags.length))).toBeLessThanOrEqual(2_000);
  });

  it('yields to the event loop while it maps a large transaction, whose tags are applied together', async () => {
    const { sink, feed } = scripted('7');
    const turns = countTurns();
    const mappedIn: number[] = [];
    scene.mappingMs = 1;
    scene.onMapping = () => mappedIn.push(turns.count);
    feed.say(change('8', ...Array.from({ length: 50 }, (_, i) => `p${i}`)), scene.head());
    await until(() => scene.state === 'live');
    turns.stop();
    expect(mappedIn).toHaveLength(50);
    const aTurn = Map.groupBy(mappedIn, (turn) => turn);
    expect(Math.max(...[...aTurn.values()].map(({ length }) => length))).toBeLessThanOrEqual(5);
    expect(sink.applied.map(({ tags }) => tags.length)).toEqual([100]);
  });

  it('does not treat a connection as dead while it maps its changes', async () => {
    const { clock, feed } = scripted('7');
    await scene.live();
    scene.mappingMs = 1_000;
    feed.say(change('8', ...Array.from({ length: 20 }, (_, i) => `p${i}`)));
    await until(() => feed.acknowledged.includes('8'));
    clock.advance(1_000);
    await settle();
    expect(feed.opened).toHaveLength(1);
    expect(feed.isOpen).toBe(true);
  });

  it('passes with each call the version that a response has to attest from then on', async () => {
    const { sink, feed } = scripted('7');
    const versioned = (position: string, ...versions: readonly (number | null)[]) => ({
      kind: 'change' as const,
      position,
      changes: versions.map((version) => product({ id: 'a', ...(version === null ? {} : { version }) })),
    });
    const events: (FeedEvent & { readonly position: string | null })[] = [
      versioned('8', 20, 30, 10),
      versioned('9', 25),
      versioned('10', null),
      versioned('11', 26),
      { kind: 'change', position: '12', changes: [product({ id: '1', version: 99 }, 'orders')] },
      { kind: 'unintelligible', position: '13', reason: 'no JSON' },
      versioned('14', 27),
      { kind: 'gap', reason: 'trimmed', position: '20' },
      versioned('21', 5),
    ];
    for (const event of events) {
      feed.say(event);
      await until(() => feed.acknowledged.at(-1) === event.position);
    }
    expect(sink.marks.map(({ highest, isKnown }) => (isKnown ? Number(highest) : null))).toEqual([
      30,
      30,
      null,
      30,
      30,
      null,
      30,
      null,
      5,
    ]);
  });

  it('invalidates its scope where a transaction names too many tags', async () => {
    const { sink, feed, runner } = scripted('7');
    feed.say(change('8', ...Array.from({ length: 50_001 }, (_, i) => `p${i}`)));
    await until(() => feed.acknowledged.includes('8'));
    expect(sink.applied).toEqual([
      { feed: 'shop', kind: 'scope', position: '8', tags: ['feed:shop', 'origin:shop'] },
    ]);
    expect(runner.status()).toMatchObject({ changes: 50_001, incomplete: 1 });
  });
});

describe('a feed runner: whether it is live', () => {
  it('is lost until the first event, catching up until it is at its head, then live', async () => {
    const { clock, feed, health } = scripted('7');
    expect(health.at(-1)).toEqual({ state: 'lost', silentSinceMonotonicMs: -Infinity });
    feed.say(change('8', 'a'));
    await until(() => feed.acknowledged.length > 0);
    expect(scene.state).toBe('catching-up');
    const askedAt = clock.monotonicMs();
    await scene.live();
    expect(health.at(-1)).toEqual({ state: 'live', silentSinceMonotonicMs: askedAt });
  });

  it('counts a proof after the changes that were received before it', async () => {
    const { sink, feed } = scripted('7');
    sink.held = gate();
    feed.say(change('8', 'a'), scene.head());
    await until(() => sink.applied.length > 0);
    await settle();
    expect(scene.state).toBe('catching-up');
    sink.held.open();
    await until(() => scene.state === 'live');
  });

  it('counts a proof after the changes that wait with it', async () => {
    const { sink, feed } = scripted('7');
    const first = gate();
    const second = gate();
    sink.held = first;
    feed.say(change('8', 'a'));
    await until(() => sink.applied.length === 1);
    feed.say(change('9', 'b'), scene.head());
    await settle();
    sink.held = second;
    first.open();
    await until(() => sink.applied.length === 2);
    await settle();
    expect(scene.state).toBe('catching-up');
    second.open();
    await until(() => scene.state === 'live');
  });

  it('measures silence from the request of the proof', async () => {
    const { clock, feed, health } = scripted('7');
    const asked = scene.head();
    clock.advance(2_000);
    feed.say(asked);
    await until(() => scene.state === 'live');
    expect(health.at(-1)!.silentSinceMonotonicMs).toBe(clock.monotonicMs() - 2_000);
  });

  it('is not made live by a proof older than max-silence', async () => {
    const { clock, feed } = scripted('7');
    const asked = scene.head();
    feed.say(change('8', 'a'));
    await until(() => feed.acknowledged.length > 0);
    clock.advance(maxSilenceMs / 2);
    feed.say(change('9', 'a'));
    await until(() => feed.acknowledged.length > 1);
    clock.advance(maxSilenceMs / 2 + 1);
    feed.say(asked);
    await settle();
    expect(scene.state).toBe('catching-up');
  });

  it('is not live after max-silence without a proof, even if busy', async () => {
    const { clock, feed } = scripted('7');
    await scene.live();
    for (let i = 0; i < 11; i += 1) {
      clock.advance(1_000);
      feed.say(change(String(8 + i), 'a'));
      await until(() => feed.acknowledged.length > i);
    }
    expect(scene.state).toBe('catching-up');
    expect(feed.opened).toHaveLength(1);
    expect(scene.runner.status().lastFailure).toMatch(/^not proved to be at its head/);
    await scene.live();
    expect(scene.runner.status().lastFailure).toBeNull();
  });

  it('reports that it was not proved to be at its head, if a new connection sends everything else', async () => {
    const { clock, feed } = scripted('7');
    for (let i = 0; i < 11; i += 1) {
      feed.say({ kind: 'behind', events: 1 });
      await until(() => feed.taken > i);
      expect(scene.runner.status().lastFailure).toBeNull();
      clock.advance(1_000);
    }
    expect(feed.opened).toHaveLength(1);
    expect(scene.runner.status().lastFailure).toMatch(/^not proved to be at its head/);
  });

  it('closes a connection on which no message arrived for longer than max-silence', async () => {
    const { clock, feed } = scripted('7');
    await scene.live();
    clock.advance(maxSilenceMs + 3_000);
    await until(() => !feed.isOpen);
    expect(scene.state).toBe('lost');
    await scene.reopened(2);
  });

  it('does not close a connection that waits for the sink', async () => {
    const { clock, sink, feed } = scripted('7');
    await scene.live();
    sink.held = gate();
    feed.say(change('8', 'a'));
    await until(() => sink.applied.length > 0);
    clock.advance(2 * maxSilenceMs);
    await settle();
    expect(scene.state).toBe('catching-up');
    expect(feed.opened).toHaveLength(1);
    expect(feed.isOpen).toBe(true);
    sink.held.open();
  });

  it('requires a new proof after a stall: messages in the socket prove nothing', async () => {
    const { clock, feed } = scripted('7');
    await scene.live();
    clock.stall(maxSilenceMs * 3);
    feed.say({ ...scene.head() });
    await until(() => !feed.isOpen);
    expect(scene.state).not.toBe('live');
    expect(scene.health.filter((report) => report.state === 'live')).toHaveLength(1);
    await scene.reopened(2);
    await scene.live();
  });

  it('requires a new proof after the wall clock jumped', async () => {
    const { clock, feed } = scripted('7');
    await scene.live();
    clock.jump(maxSilenceMs);
    clock.advance(1_000);
    await until(() => !feed.isOpen);
    expect(scene.state).not.toBe('live');
  });

  it('still applies changes that were in the socket during a stall', async () => {
    const { clock, sink, feed } = scripted('7');
    await scene.live();
    clock.stall(maxSilenceMs);
    feed.say(change('8', 'a'), scene.head());
    await until(() => !feed.isOpen);
    await settle();
    expect(sink.tags).toContain('product:a');
  });

  it("announces a head's position before it counts as proved", async () => {
    const { sink, feed } = scripted('7');
    const announcedWhenProved: (string | undefined)[] = [];
    scene.onHealth = () => void announcedWhenProved.push(sink.heads.at(-1));
    feed.say(scene.head('8'));
    await until(() => scene.state === 'live');
    expect(announcedWhenProved.at(-1)).toBe('8');
  });

  it('makes the position of a head durable, but not with every head', async () => {
    const { clock, sink, feed } = scripted('7');
    feed.say(scene.head('8'));
    await until(() => sink.saved === '8');
    expect(feed.acknowledged).toEqual(['8']);
    clock.advance(1_000);
    feed.say(scene.head('9'));
    await settle();
    expect(sink.saved).toBe('8');
    for (let i = 0; i < 10; i += 1) {
      clock.advance(1_000);
      feed.say(scene.head('10'));
      await settle();
    }
    expect(sink.saved).toBe('10');
  });
});

describe('a feed runner: failures', () => {
  it('is lost at once when the connection fails, and resumes after its last durable position', async () => {
    const { feed } = scripted('7');
    feed.say(change('8', 'a'));
    await scene.live();
    feed.say(failure('soon'));
    await until(() => scene.state === 'lost');
    await scene.reopened(2);
    expect(feed.latest.after).toBe('8');
    expect(scene.runner.status()).toMatchObject({ failures: 1, lastFailure: 'unreachable (soon)' });
    await scene.live();
    expect(scene.runner.status().lastFailure).toBeNull();
  });

  it('is lost before the failed connection is closed, and ignores its earlier proofs', async () => {
    const { sink, feed } = scripted('7');
    await scene.live();
    const closing = gate();
    feed.closing = closing.promise;
    sink.held = gate();
    feed.say(change('8', 'a'), scene.head(), failure('soon'));
    await until(() => scene.state === 'lost');
    sink.held.open();
    await until(() => feed.acknowledged.includes('8'));
    await settle();
    expect(scene.state).toBe('lost');
    expect(feed.isOpen).toBe(true);
    closing.open();
    await scene.reopened(2);
  });

  it('backs off exponentially with full jitter, and from the start again once it was live', async () => {
    const { clock, feed } = scripted('7');
    const waits: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const before = clock.monotonicMs();
      feed.say(failure('soon'));
      await settle();
      while (feed.opened.length < i + 2) {
        clock.advance(10);
        await settle(5);
      }
      waits.push(clock.monotonicMs() - before);
    }
    expect(waits).toEqual([100, 200, 400, 800]);
    await scene.live();
    const before = clock.monotonicMs();
    feed.say(failure('soon'));
    await settle();
    while (feed.opened.length < 6) {
      clock.advance(10);
      await settle(5);
    }
    expect(clock.monotonicMs() - before).toBe(100);
  });

  it('waits long after a few attempts where an operator must act first', async () => {
    const { clock, feed } = scripted('7');
    const waits: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const before = clock.monotonicMs();
      feed.say(failure('slowly', 'refused'));
      await settle();
      while (feed.opened.length < i + 2) {
        clock.advance(100);
        await settle(5);
      }
      waits.push(clock.monotonicMs() - before);
    }
    expect(waits).toEqual([1_500, 6_000, 22_500, 22_500]);
  });

  it('does not retry a failure that only a restart can fix', async () => {
    const { clock, feed } = scripted('7');
    feed.say(failure('never', 'library'));
    await settle();
    clock.advance(10 * 60_000);
    await settle();
    expect(feed.opened).toHaveLength(1);
    expect(scene.runner.status().lastFailure).toBe('library (never)');
  });

  it('treats an adapter that throws as a lost connection', async () => {
    const { feed } = scripted('7');
    feed.latest.break(new Error('a bug'));
    await scene.reopened(2);
    expect(scene.lines).toContain('error the feed failed unexpectedly');
  });

  it('applies changes that were received before the connection failed', async () => {
    const { sink, feed } = scripted('7');
    feed.say(change('8', 'a'), change('9', 'b'), failure('soon'));
    await until(() => scene.state === 'lost' && sink.saved === '9');
    await scene.reopened(2);
    expect(feed.latest.after).toBe('9');
  });

  it('counts the delay from commit to durable, and no negative delay', async () => {
    const { clock, sink, feed } = scripted('7');
    const committedAtMs = clock.nowMs() - 300;
    feed.say({ ...change('8', 'a'), committedAtMs } as FeedEvent);
    feed.say({ ...change('9', 'b'), committedAtMs: clock.nowMs() + 5_000 } as FeedEvent);
    await until(() => sink.saved === '9');
    await settle();
    const { delays } = scene.runner.status();
    expect(delays.sumSeconds).toBeCloseTo(0.3, 5);
    expect(delays.buckets.reduce((sum, count) => sum + count)).toBe(2);
  });

  it("applies nothing after a change that can't be made durable", async () => {
    const { sink, feed } = scripted('7');
    sink.held = gate();
    feed.say(change('8', 'a'));
    await until(() => sink.applied.length === 1);
    feed.say(change('9', 'b'));
    await settle();
    sink.refusal = new Error('no space');
    sink.held.open();
    await until(() => !feed.isOpen);
    sink.refusal = null;
    await scene.reopened(2);
    expect(sink.applied.map((one) => one.position)).toEqual(['8']);
    expect(feed.latest.after).toBe('7');
  });

  it("is not live, acknowledges nothing and starts over when a change can't be made durable", async () => {
    const { sink, feed } = scripted('7');
    await scene.live();
    sink.refusal = new Error('no space');
    feed.say(change('8', 'a'), scene.head());
    await until(() => !feed.isOpen);
    await settle();
    expect(scene.state).toBe('lost');
    expect(feed.acknowledged).toEqual([]);
    expect(scene.health.filter((report) => report.state === 'live')).toHaveLength(1);
    sink.refusal = null;
    await scene.reopened(2);
    expect(feed.latest.after).toBe('7');
  });
});

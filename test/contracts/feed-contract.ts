import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import type { ChangeEvent, Feed, FeedAdapter, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { settle } from '../support/barrier.ts';
import { FeedFollower } from './feed-follower.ts';
import { readFeed, type FeedReader } from './feed-reader.ts';

/**
 * The tests that every feed must pass with a real server. `describeFeed` runs them; a harness starts the
 * server, makes changes and causes faults. `cannot` lists what a type of feed can't do, with the reason; that
 * is not tested.
 */
export interface FeedHarness {
  readonly adapter: FeedAdapter;
  /** Why this suite can't run here (a program is not installed); null if it can. */
  readonly skip: string | null;
  /** Starts the server with an empty stream. Called once for each test. */
  start(): Promise<FeedService>;
  readonly cannot?: Partial<Record<FeedAbility, string>>;
}

export type FeedAbility =
  'resume' | 'trim' | 'recreate' | 'restore' | 'restart' | 'cut' | 'blackhole' | 'flood';

export interface FeedService {
  /** A new feed of this stream. The `maxSilenceMs` of its configuration is `contractMaxSilenceMs`. */
  feed(): Feed;
  /** Publishes the transactions in order; resolves when the server has them all. */
  publish(transactions: readonly (readonly PublishedRow[])[]): Promise<void>;
  /** Removes everything published so far, so that no older position can be resumed. */
  trim?(): Promise<void>;
  /** Deletes the stream and creates an empty one of the same name. */
  recreate?(): Promise<void>;
  /** Copies the server's data. The server may be restarted for it. */
  copy?(): Promise<void>;
  /**
   * Ends the server, restores the copy of its data, and starts it again on the same address. No feed can connect before
   * these transactions are published.
   */
  restore?(transactions: readonly (readonly PublishedRow[])[]): Promise<void>;
  /** Ends the server and starts it again on the same address, with its data. */
  restart?(): Promise<void>;
  /** Cuts every connection; new ones are accepted. */
  cut?(): Promise<void>;
  /** The server stops responding without closing connections, also on new ones (SIGSTOP), until `resume`. */
  blackhole?(): Promise<void>;
  resume?(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A row whose id is unique in the test. The feed must provide it where `{id}` is looked up: in the message or in
 * `after`.
 */
export interface PublishedRow {
  readonly id: string;
  /** Padding, for tests of memory. */
  readonly text?: string;
}

/**
 * The basis of feeds' timeouts and of the runner's detection of stalls. It is longer than pauses of a busy
 * machine.
 */
export const contractMaxSilenceMs = 6_000;

export function describeFeed(name: string, harness: FeedHarness): void {
  const suite = harness.skip === null ? describe : describe.skip;
  suite(harness.skip === null ? `feed ${name}` : `feed ${name} (${harness.skip})`, () => {
    const scene = new Scene(harness);
    afterEach(() => scene.stop());

    describeReading(scene);
    if (scene.can('resume')) describeResuming(scene, harness.adapter);
    describeGaps(scene);
    if (scene.can('restore')) describeRestoring(scene);
    describeFaults(scene);
    describeEnding(scene);
    if (scene.can('flood')) describeFlood(scene);
  });
}

function describeReading(scene: Scene): void {
  it('begins at its head with a gap when it has no position', async () => {
    const service = await scene.start();
    await service.publish([[{ id: 'before' }]]);
    const reader = await scene.attach();
    await service.publish([[{ id: 'after' }]]);
    const events = await reader.until((seen) => idsOf(seen).includes('after'));
    expect(events.findIndex((event) => event.kind === 'gap')).toBe(0);
    expect(idsOf(events)).toEqual(['after']);
  });

  it('yields each transaction whole and in order', async () => {
    const service = await scene.start();
    const reader = await scene.attach();
    await service.publish([[{ id: 'a1' }, { id: 'a2' }], [{ id: 'b1' }], [{ id: 'c1' }, { id: 'c2' }]]);
    const events = await reader.until((seen) => idsOf(seen).length >= 5);
    expect(transactionsOf(events)).toEqual([['a1', 'a2'], ['b1'], ['c1', 'c2']]);
  });

  it('proves its head repeatedly while nothing changes', async () => {
    await scene.start();
    const reader = await scene.attach();
    const events = await reader.until((seen) => headsOf(seen).length >= 3);
    const asked = headsOf(events).map((event) => event.askedAtMonotonicMs);
    expect(asked).toEqual(asked.toSorted((a, b) => a - b));
    expect(asked[2]).toBeGreaterThan(asked[0]!);
  });
}

function describeResuming(scene: Scene, adapter: FeedAdapter): void {
  it('resumes after its position without loss, and repeats the same events', async () => {
    const service = await scene.start();
    const first = await scene.attach();
    await service.publish([[{ id: '1' }], [{ id: '2' }]]);
    const after = changesOf(await first.until((events) => idsOf(events).length >= 2))[0]!.position;
    await first.stop();
    await service.publish([[{ id: '3' }], [{ id: '4' }]]);

    const second = scene.read(after);
    const events = [...(await second.until((all) => idsOf(all).includes('4')))];
    await second.stop();
    expect(events.filter((event) => event.kind === 'gap')).toEqual([]);
    expect(idsOf(events)).toEqual(['2', '3', '4']);

    const third = scene.read(after);
    const again = await third.until((all) => idsOf(all).includes('4'));
    expect(positionsOf(again)).toEqual(positionsOf(events));
  });

  it('yields a head only after everything published before', async () => {
    const service = await scene.start();
    const first = await scene.attach();
    await service.publish([[{ id: 'start' }]]);
    const after = changesOf(await first.until((events) => idsOf(events).length > 0))[0]!.position;
    await first.stop();
    const ids = Array.from({ length: 300 }, (_, i) => String(i));
    await service.publish(ids.map((id) => [{ id }]));

    const second = scene.read(after);
    const events = await second.until((all) => headsOf(all).length > 0);
    const head = events.findIndex((event) => event.kind === 'head');
    expect(idsOf(events.slice(0, head))).toEqual(ids);
  });

  it('orders its positions, also as operators see them', async () => {
    const service = await scene.start();
    const reader = await scene.attach();
    await service.publish(Array.from({ length: 12 }, (_, i) => [{ id: String(i) }]));
    const events = await reader.until((seen) => idsOf(seen).length >= 12);
    const positions = positionsOf(events);
    const { comparePositions, showPosition } = adapter;
    for (const [a, b] of positions.slice(1).map((position, i) => [positions[i]!, position] as const)) {
      expect(comparePositions(a, b)).toBeLessThan(0);
      expect(comparePositions(b, a)).toBeGreaterThan(0);
      expect(comparePositions(a, a)).toBe(0);
      expect(comparePositions(showPosition(a), b)).toBeLessThan(0);
      expect(comparePositions(b, showPosition(b))).toBe(0);
    }
  });
}

function describeGaps(scene: Scene): void {
  const harms = {
    trim: 'was trimmed beyond its position',
    recreate: 'was recreated under its name',
  } as const;
  for (const harm of ['trim', 'recreate'] as const) {
    if (!scene.can(harm)) continue;
    it(`finds a gap before anything else when the stream ${harms[harm]}`, async () => {
      const service = await scene.start();
      const first = await scene.attach();
      await service.publish([[{ id: '1' }], [{ id: '2' }], [{ id: '3' }]]);
      const after = changesOf(await first.until((events) => idsOf(events).length >= 3))[0]!.position;
      await first.stop();
      await service[harm]!();
      // As many changes as before, so that the old position exists again if positions are plain numbers.
      await service.publish([[{ id: '4' }], [{ id: '5' }], [{ id: '6' }]]);

      const second = scene.read(after);
      await second.until((all) => all.some((event) => event.kind !== 'behind'));
      await service.publish([[{ id: '7' }]]);
      const events = await second.until((all) => idsOf(all).includes('7'));
      expect(events.find((event) => event.kind !== 'behind')!.kind).toBe('gap');
    });
  }

  if (scene.can('recreate')) {
    it('finds a gap when the stream is recreated while it is read, and continues', async () => {
      const service = await scene.start();
      const follower = await scene.follow();
      await service.publish([[{ id: '1' }], [{ id: '2' }]]);
      await follower.until(({ rows }) => rows.includes('2'));
      const before = follower.gaps;
      await service.recreate!();
      await service.publish([[{ id: '3' }]]);
      await follower.until(({ gaps, state }) => gaps > before && state === 'live');
      await service.publish([[{ id: '4' }]]);
      await follower.until(({ rows }) => rows.includes('4'));
    });
  }
}

/** More rows than are lost, so that the old position exists again if positions are plain numbers. */
const otherRows = Array.from({ length: 8 }, (_, i) => [{ id: `other-${i}` }]);

function describeRestoring(scene: Scene): void {
  it('finds a gap before anything else when an older copy was restored and written to while Weir was stopped', async () => {
    const service = await scene.start();
    const first = await scene.attach();
    await service.publish([[{ id: '1' }], [{ id: '2' }]]);
    const kept = changesOf(await first.until((events) => idsOf(events).includes('2'))).at(-1)!.position;
    await first.stop();
    await service.copy!();
    await service.publish([[{ id: '3' }], [{ id: '4' }]]);
    const second = scene.read(kept);
    const after = changesOf(await second.until((events) => idsOf(events).includes('4'))).at(-1)!.position;
    await second.stop();
    await service.restore!(otherRows);

    const third = scene.read(after);
    await third.until((all) => all.some((event) => event.kind !== 'behind'));
    await service.publish([[{ id: '5' }]]);
    const events = await third.until((all) => idsOf(all).includes('5'));
    expect(events.find((event) => event.kind !== 'behind')!.kind).toBe('gap');
    await third.stop();

    const goesOn = changesOf(events).at(-1)!.position;
    await service.publish([[{ id: '6' }]]);
    const fourth = scene.read(goesOn);
    const resumed = await fourth.until((all) => idsOf(all).includes('6'));
    expect(resumed.filter((event) => event.kind === 'gap')).toEqual([]);
  });

  it('finds a gap when an older copy was restored and written to while Weir was running, and continues', async () => {
    const service = await scene.start();
    await service.publish([[{ id: '1' }]]);
    await service.copy!();
    const follower = await scene.follow();
    await service.publish([[{ id: '2' }], [{ id: '3' }]]);
    await follower.until(({ rows, state }) => rows.includes('3') && state === 'live');
    const { gaps } = follower;
    await service.restore!(otherRows);
    await follower.until((seen) => seen.gaps > gaps && seen.state === 'live');
    await service.publish([[{ id: '4' }]]);
    await follower.until(({ rows }) => rows.includes('4'));
  });

  it('finds a gap when an older copy was restored, although nothing had changed since the start', async () => {
    const service = await scene.start();
    await service.publish([[{ id: '1' }]]);
    await service.copy!();
    await service.publish([[{ id: '2' }]]);
    const first = await scene.attach();
    const after = headsOf(await first.until((events) => headsOf(events).length > 0))[0]!.position;
    await first.stop();
    await service.restore!(otherRows);
    const second = scene.read(after);
    const events = await second.until((all) => all.some((event) => event.kind !== 'behind'));
    expect(events.find((event) => event.kind !== 'behind')!.kind).toBe('gap');
  });

  it('continues without a gap when the restored copy has everything that was read', async () => {
    const service = await scene.start();
    const first = await scene.attach();
    await service.publish([[{ id: '1' }], [{ id: '2' }]]);
    const after = changesOf(await first.until((events) => idsOf(events).includes('2'))).at(-1)!.position;
    await first.stop();
    await service.copy!();
    await service.publish([[{ id: '3' }]]);
    await service.restore!(otherRows);
    const second = scene.read(after);
    const events = await second.until((all) => idsOf(all).length >= otherRows.length);
    expect(events.filter((event) => event.kind === 'gap')).toEqual([]);
    expect(idsOf(events)).toEqual(otherRows.flat().map(({ id }) => id));
  });
}

function describeFaults(scene: Scene): void {
  for (const harm of ['restart', 'cut'] as const) {
    if (!scene.can(harm)) continue;
    it(`survives ${harm === 'restart' ? "the server's restart" : 'a cut connection'} without loss and without a gap`, async () => {
      const service = await scene.start();
      const follower = await scene.follow();
      await service.publish([[{ id: '1' }]]);
      await follower.until(({ rows }) => rows.includes('1'));
      const { gaps } = follower;
      await service[harm]!();
      await service.publish([[{ id: '2' }]]);
      await follower.until(({ rows, state }) => rows.includes('2') && state === 'live');
      expect(follower.gaps).toBe(gaps);
    });
  }

  if (scene.can('blackhole')) {
    it('is not live when the server stops responding, and recovers', async () => {
      const service = await scene.start();
      const follower = await scene.follow();
      await service.publish([[{ id: '1' }]]);
      await follower.until(({ rows, state }) => rows.includes('1') && state === 'live');
      await service.blackhole!();
      await follower.until(({ state }) => state !== 'live');
      await service.resume!();
      await service.publish([[{ id: '2' }]]);
      await follower.until(({ rows, state }) => rows.includes('2') && state === 'live');
    });
  }
}

function describeEnding(scene: Scene): void {
  it('ends promptly when it is aborted while it waits', async () => {
    await scene.start();
    const reader = await scene.attach();
    await reader.stop();
  });

  it('ends promptly when it is aborted before it is connected', async () => {
    await scene.start();
    const reader = scene.read(null);
    await reader.stop();
    expect(reader.events.filter((event) => event.kind === 'failed')).toEqual([]);
  });

  if (scene.can('blackhole')) {
    it('ends promptly when it is aborted while the server does not respond', async () => {
      const service = await scene.start();
      const reader = await scene.attach();
      await service.blackhole!();
      await reader.stop();
      await scene.read(null).stop();
      await service.resume!();
    });
  }
}

const PATIENCE = { interval: 50, timeout: 20_000 };

/** A flood of 32 MiB, of which a feed may buffer only a part. */
function describeFlood(scene: Scene): void {
  const row = 'x'.repeat(64 * 1024);
  const rows = 512;

  it('leaves a flood of changes at the server while its reader waits, without loss', async () => {
    const service = await scene.start();
    const reader = await scene.attach();
    reader.pause();
    const before = heldBytes();
    const ids = Array.from({ length: rows }, (_, i) => String(i));
    await service.publish(ids.map((id) => [{ id, text: row }]));
    await settle(2_000);
    // The publisher's buffers are freed with a delay.
    await expect.poll(() => heldBytes() - before, PATIENCE).toBeLessThan((rows * row.length) / 2);
    reader.resume();
    const events = await reader.until((all) => idsOf(all).length >= rows);
    expect(idsOf(events)).toEqual(ids);
  });
}

function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The service of the current test, and everything that was opened on it. */
class Scene {
  readonly #harness: FeedHarness;
  #service: FeedService | null = null;
  #readers: { stop(): Promise<void> }[] = [];

  constructor(harness: FeedHarness) {
    this.#harness = harness;
  }

  can(ability: FeedAbility): boolean {
    return this.#harness.cannot?.[ability] === undefined;
  }

  async start(): Promise<FeedService> {
    this.#service = await this.#harness.start();
    return this.#service;
  }

  read(after: string | null): FeedReader {
    const reader = readFeed(this.#service!.feed(), after);
    this.#readers.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attach(): Promise<FeedReader> {
    const reader = this.read(null);
    await reader.until((events) => events.some((event) => event.kind === 'gap'));
    return reader;
  }

  followFrom(position: string | null): FeedFollower {
    const follower = new FeedFollower(
      this.#harness.adapter,
      this.#service!.feed(),
      position,
      contractMaxSilenceMs,
    );
    this.#readers.push(follower);
    return follower;
  }

  /** Weir's runner on the feed, live. */
  async follow(): Promise<FeedFollower> {
    const follower = this.followFrom(null);
    await follower.until(({ state }) => state === 'live');
    return follower;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    this.#readers = [];
    await this.#service?.stop();
    this.#service = null;
  }
}

export function changesOf(events: readonly FeedEvent[]): ChangeEvent[] {
  return events.filter((event) => event.kind === 'change');
}

export function headsOf(events: readonly FeedEvent[]): Extract<FeedEvent, { kind: 'head' }>[] {
  return events.filter((event) => event.kind === 'head');
}

/** The ids of the rows in each transaction; transactions without rows are left out. */
export function transactionsOf(events: readonly FeedEvent[]): string[][] {
  return changesOf(events)
    .map((event) => event.changes.map(idOf))
    .filter((ids) => ids.length > 0);
}

export function idsOf(events: readonly FeedEvent[]): string[] {
  return transactionsOf(events).flat();
}

/** The positions of the transactions with rows. */
function positionsOf(events: readonly FeedEvent[]): string[] {
  return changesOf(events)
    .filter((event) => event.changes.length > 0)
    .map((event) => event.position);
}

function idOf(change: ChangeEvent['changes'][number]): string {
  const inMessage = change.message.map((part) => part['id']).find((value) => value !== undefined);
  return String(change.after?.['id'] ?? inMessage);
}

import { afterAll, describe, expect, it } from 'vitest';
import type { ChangeEvent, Feed, FeedAdapter, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import type { FeedReader } from './feed-reader.ts';
import { readFeed } from './feed-reader.ts';

/**
 * What every feed must show, against the real thing. `describeFeed` runs it; a harness says how to start the server,
 * how to make changes, and how to do it harm. What a harness can't do is left out of its suite by leaving out the
 * method, with the reason in `cannot`.
 */
export interface FeedHarness {
  readonly adapter: FeedAdapter;
  /** Why this suite can't run here (a program is not installed); null: it can. */
  readonly skip: string | null;
  /** Starts the server with an empty stream. Called once for each test. */
  start(): Promise<FeedService>;
  /** What this kind of feed can't do by its nature, and why. These tests are not registered. */
  readonly cannot?: Partial<
    Record<'resume' | 'trim' | 'recreate' | 'restart' | 'cut' | 'blackhole' | 'behind', string>
  >;
}

export interface FeedService {
  /** A feed of this stream as Weir would make it at a start. `maxSilenceMs` of its configuration: `contractMaxSilenceMs`. */
  feed(): Feed;
  /** Publishes one transaction each, in order; resolves when the server has them all. */
  publish(transactions: readonly (readonly PublishedRow[])[]): Promise<void>;
  /** Makes the server forget everything published so far, so that no older position can be resumed. */
  trim?(): Promise<void>;
  /** Deletes the stream and makes it anew under the same name, empty. */
  recreate?(): Promise<void>;
  /** Ends the server and starts it again on the same address, with its data. */
  restart?(): Promise<void>;
  /** Cuts every connection; new ones are accepted. */
  cut?(): Promise<void>;
  /** From now on connections stay open and nothing is answered, also on new ones (SIGSTOP will do). `resume` undoes it. */
  blackhole?(): Promise<void>;
  resume?(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A row whose id identifies it in the whole test. It must reach the feed such that `idOf` finds it: `after.id` or `id`
 * of the message.
 */
export interface PublishedRow {
  readonly id: string;
  /** Padding, for tests of memory. */
  readonly text?: string;
}

export const contractMaxSilenceMs = 600;

export function describeFeed(name: string, harness: FeedHarness): void {
  const suite = harness.skip === null ? describe : describe.skip;
  suite(harness.skip === null ? `feed ${name}` : `feed ${name} (${harness.skip})`, () => {
    const started = new Running(harness);
    const can = (ability: keyof NonNullable<FeedHarness['cannot']>): boolean =>
      harness.cannot?.[ability] === undefined;
    afterAll(() => started.stop());

    it('begins at its head with a gap when it has no position', async () => {
      const service = await started.fresh();
      await service.publish([[{ id: 'before' }]]);
      const reader = started.read(service, null);
      await reader.until((events) => events.length > 0);
      await service.publish([[{ id: 'after' }]]);
      const events = await reader.until((seen) => idsOf(seen).includes('after'));
      expect(events[0]!.kind).toBe('gap');
      expect(idsOf(events)).toEqual(['after']);
    });

    it('yields each transaction whole and in order', async () => {
      const service = await started.fresh();
      const reader = await started.attach(service);
      await service.publish([[{ id: 'a1' }, { id: 'a2' }], [{ id: 'b1' }], [{ id: 'c1' }, { id: 'c2' }]]);
      const events = await reader.until((seen) => idsOf(seen).length >= 5);
      expect(transactionsOf(events)).toEqual([['a1', 'a2'], ['b1'], ['c1', 'c2']]);
    });

    if (can('resume')) {
      it('resumes after its position without loss', async () => {
        const service = await started.fresh();
        const first = await started.attach(service);
        await service.publish([[{ id: '1' }], [{ id: '2' }]]);
        const seen = await first.until((events) => idsOf(events).length >= 2);
        const after = changesOf(seen)[0]!.position;
        await first.stop();
        await service.publish([[{ id: '3' }], [{ id: '4' }]]);
        const second = started.read(service, after);
        const events = await second.until((all) => idsOf(all).includes('4'));
        expect(events.filter((event) => event.kind === 'gap')).toEqual([]);
        expect(idsOf(events)).toEqual(['2', '3', '4']);
      });
    }

    it('ends promptly when it is aborted while it waits', async () => {
      const service = await started.fresh();
      const reader = await started.attach(service);
      await reader.stop();
    });
  });
}

/** The service of the test that runs, and everything that was opened on it. */
class Running {
  private readonly harness: FeedHarness;
  private service: FeedService | null = null;
  private readers: FeedReader[] = [];

  constructor(harness: FeedHarness) {
    this.harness = harness;
  }

  async fresh(): Promise<FeedService> {
    await this.stop();
    this.service = await this.harness.start();
    return this.service;
  }

  read(service: FeedService, after: string | null): FeedReader {
    const reader = readFeed(service.feed(), after);
    this.readers.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attach(service: FeedService): Promise<FeedReader> {
    const reader = this.read(service, null);
    await reader.until((events) => events.some((event) => event.kind === 'gap'));
    return reader;
  }

  async stop(): Promise<void> {
    await Promise.all(this.readers.map((reader) => reader.stop()));
    this.readers = [];
    await this.service?.stop();
    this.service = null;
  }
}

export function changesOf(events: readonly FeedEvent[]): ChangeEvent[] {
  return events.filter((event) => event.kind === 'change');
}

/** The ids of the rows in each transaction; those that hold none are left out. */
export function transactionsOf(events: readonly FeedEvent[]): string[][] {
  return changesOf(events)
    .map((event) => event.changes.map(idOf))
    .filter((ids) => ids.length > 0);
}

export function idsOf(events: readonly FeedEvent[]): string[] {
  return transactionsOf(events).flat();
}

function idOf(change: ChangeEvent['changes'][number]): string {
  const id =
    change.after?.['id'] ?? change.message.map((part) => part['id']).find((value) => value !== undefined);
  return String(id);
}

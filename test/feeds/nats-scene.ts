import type { StreamConfig } from '@nats-io/jetstream';
import { describe } from 'vitest';
import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { natsFeed } from '../../origin-adapters/feeds/nats.ts';
import { changesOf, contractMaxSilenceMs, idsOf } from '../contracts/feed-contract.ts';
import { FeedFollower } from '../contracts/feed-follower.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { NatsServer } from '../support/nats-server.ts';
import { requireProgram } from '../support/programs.ts';

export const program = requireProgram('nats-server');
export const suite = program.kind === 'found' ? describe : describe.skip;
export const path = program.kind === 'found' ? program.path : '';

/** The server of the current test, with an empty stream, and its readers. */
export class Scene {
  #server: NatsServer | null = null;
  #readers: { stop(): Promise<void> }[] = [];

  async start(configuration = ''): Promise<NatsServer> {
    this.#server = await NatsServer.start(path, configuration);
    return this.#server;
  }

  async startWithStream(more: Partial<StreamConfig> = {}): Promise<NatsServer> {
    const server = await this.start();
    await server.atStreams((manager) => manager.streams.add({ ...stream, ...more }));
    return server;
  }

  read(
    after: string | null,
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): FeedReader {
    const reader = readFeed(feedOf({ servers: this.#server!.url, ...options }, format), after);
    this.#readers.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attached(
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): Promise<FeedReader> {
    const reader = this.read(null, options, format);
    await reader.until((events) => events.some(({ kind }) => kind === 'head'));
    return reader;
  }

  /** Weir's own runner on the stream, live. */
  async follow(): Promise<FeedFollower> {
    const feed = feedOf({ servers: this.#server!.url });
    const follower = new FeedFollower(natsFeed, feed, null, contractMaxSilenceMs);
    this.#readers.push(follower);
    await follower.until(({ state }) => state === 'live');
    return follower;
  }

  async publish(...ids: readonly string[]): Promise<void> {
    await this.#server!.atStreams(async (_manager, client) => {
      for (const id of ids) await client.publish('changes', JSON.stringify({ id }));
    });
  }

  /** Publishes rows, reads them all, and returns the last one's position. */
  async positionAfter(...ids: readonly string[]): Promise<string> {
    const reader = await this.attached();
    await this.publish(...ids);
    const events = await reader.until((all) => idsOf(all).length >= ids.length);
    await reader.stop();
    return changesOf(events).at(-1)!.position;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    this.#readers = [];
    await this.#server?.stop();
    this.#server = null;
  }
}

export const stream = { name: 'CHANGES', subjects: ['changes', 'changes.>'] };
export function kindsOf(events: readonly FeedEvent[]): string[] {
  return events.map(({ kind }) => kind).filter((kind) => kind !== 'behind');
}

export function feedOf(
  options: Readonly<Record<string, unknown>>,
  format: 'json' | 'cloudevents' = 'json',
  deps = testFeedDeps,
): Feed {
  return natsFeed.create(
    {
      name: 'feed',
      type: 'nats',
      format,
      maxSilenceMs: contractMaxSilenceMs,
      readLagMs: 0,
      versionField: null,
      map: [],
      options: natsFeed.schema.parse({ stream: 'CHANGES', ...options }),
    },
    deps,
  );
}

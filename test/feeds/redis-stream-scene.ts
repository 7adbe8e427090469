import { describe } from 'vitest';
import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import { changesOf, contractMaxSilenceMs, idsOf } from '../contracts/feed-contract.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { requireProgram } from '../support/programs.ts';
import { RedisServer } from '../support/redis-server.ts';

export const program = requireProgram('redis-server');
export const suite = program.kind === 'found' ? describe : describe.skip;
export const path = program.kind === 'found' ? program.path : '';

/** The server of the current test, with an empty stream, and its readers. */
export class Scene {
  #server: RedisServer | null = null;
  #replicas: RedisServer[] = [];
  #readers: FeedReader[] = [];

  async start(parameters: readonly string[] = []): Promise<RedisServer> {
    this.#server = await RedisServer.start(path, parameters);
    await this.#server.run(...emptyStream);
    return this.#server;
  }

  /** Starts a replica of the server at that port, where no server need exist. */
  async startReplica(port: string): Promise<RedisServer> {
    const replica = await RedisServer.start(path, ['--replicaof', '127.0.0.1', port]);
    this.#replicas.push(replica);
    return replica;
  }

  read(
    after: string | null,
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): FeedReader {
    const reader = readFeed(feedOf({ url: this.#server!.url, ...options }, format), after);
    this.#readers.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attached(
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): Promise<FeedReader> {
    const reader = this.read(null, options, format);
    await reader.until((events) => events.length > 0);
    return reader;
  }

  /** Adds rows, reads them all, and returns the last one's position. */
  async positionAfter(ids: readonly string[]): Promise<string> {
    const reader = await this.attached();
    await this.#server!.run(...ids.map((id) => xadd(id)));
    const events = await reader.until((all) => idsOf(all).length >= ids.length);
    await reader.stop();
    return changesOf(events).at(-1)!.position;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    this.#readers = [];
    await Promise.all([...this.#replicas, this.#server].map((server) => server?.stop()));
    this.#replicas = [];
    this.#server = null;
  }
}

/** A stream that never had an entry. */
export const emptyStream = [
  ['XGROUP', 'CREATE', 'changes', 'group', '$', 'MKSTREAM'],
  ['XGROUP', 'DESTROY', 'changes', 'group'],
];
export function xadd(id: string, at = '*'): string[] {
  return ['XADD', 'changes', at, 'data', JSON.stringify({ id })];
}

export function kindsOf(events: readonly FeedEvent[]): string[] {
  return events
    .filter(({ kind }) => kind === 'change' || kind === 'gap' || kind === 'head')
    .map(({ kind }) => kind);
}

export function feedOf(
  options: Readonly<Record<string, unknown>>,
  format: 'json' | 'cloudevents' = 'json',
  deps = testFeedDeps,
): Feed {
  return redisStreamFeed.create(
    {
      name: 'feed',
      type: 'redis-stream',
      format,
      maxSilenceMs: contractMaxSilenceMs,
      readLagMs: 0,
      versionField: null,
      map: [],
      options: redisStreamFeed.schema.parse({ stream: 'changes', ...options }),
    },
    deps,
  );
}

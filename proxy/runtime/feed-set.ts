import type { WebhookDelivery } from '../feeds/calls.ts';
import type { Config, FeedConfig, RouteConfig } from '../../policies/config/config.ts';
import { feedScope } from '../../policies/feed-scope.ts';
import { normalizeTarget } from '../../policies/key.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { DeliveryAnswer, FeedLog, FeedReceiver } from '../../origin-adapters/feeds/feed.ts';
import type { Clock } from '../threads/clock.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { tagsOfChange } from '../feeds/change-tags.ts';
import { feedDeps } from '../feeds/deps.ts';
import { FenceSink } from '../feeds/invalidation-sink.ts';
import { HealthCells } from '../feeds/health-cells.ts';
import { PositionCells } from '../feeds/position-cells.ts';
import { FeedRunner } from '../feeds/runner.ts';
import { sharedFeed, type SharedFeed } from '../feeds/shared-feed.ts';
import type { FeedStatus } from '../feeds/status.ts';
import type { Fence } from '../fence/fence.ts';
import type { Log } from '../observability/logger.ts';
import type { StateStore } from '../state/state-store.ts';
import type { RuntimeConfigurationSource } from './calls.ts';

export interface FeedSetDependencies {
  readonly fence: Fence;
  readonly state: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  /** The configuration in force. */
  config(): Config;
}

interface Running {
  /** The configuration of the runner, serialised. A different one requires a new runner. */
  readonly source: string;
  readonly runner: FeedRunner;
  readonly receiver: FeedReceiver | undefined;
  readonly shared: SharedFeed;
  readonly cells: HealthCells;
}

/** The feeds of the configuration in force. A reload keeps the runner of an unchanged feed. */
export class FeedSet {
  readonly #deps: FeedSetDependencies;
  #running = new Map<string, Running>();
  /** New runners, which start after the workers have their shared memory. */
  #ready: FeedRunner[] = [];

  constructor(deps: FeedSetDependencies) {
    this.#deps = deps;
  }

  /**
   * Makes the runners of a configuration's feeds and ends those of feeds that were changed or removed. New runners wait
   * for `start`. `demoUrls` has the URLs of `demo:` origins, by origin name.
   */
  async prepare(config: Config, demoUrls: Readonly<Record<string, string>>): Promise<void> {
    const before = this.#running;
    const wanted = Object.values(config.feeds).map((feed) => {
      const named = withDemoUrl(feed, demoUrls);
      const scope = feedScope(feed, Object.keys(config.origins));
      return { feed, named, scope, source: JSON.stringify([named, scope]) };
    });
    const kept = new Set(
      wanted
        .filter(({ feed, source }) => before.get(feed.name)?.source === source)
        .map(({ feed }) => feed.name),
    );
    await Promise.all([...before].filter(([name]) => !kept.has(name)).map(([, { runner }]) => runner.stop()));
    this.#running = new Map(
      wanted.map(({ feed, named, scope, source }) => [
        feed.name,
        kept.has(feed.name) ? before.get(feed.name)! : this.#made(feed, named, scope, source),
      ]),
    );
  }

  start(): void {
    for (const runner of this.#ready.splice(0)) runner.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ runner }) => runner.stop()));
    this.#running.clear();
  }

  /** The shared memory of the feeds, for workers. */
  shared(): RuntimeConfigurationSource['feeds'] {
    return Object.fromEntries([...this.#running].map(([name, { shared }]) => [name, shared]));
  }

  receivers(): RuntimeConfigurationSource['receivers'] {
    return [...this.#running.values()].flatMap(({ receiver }) =>
      receiver === undefined ? [] : [{ path: pathOf(receiver), maxBodyBytes: receiver.maxBodyBytes }],
    );
  }

  status(): FeedStatus[] {
    return [...this.#running.values()].map(({ runner }) => runner.status());
  }

  /** How far a route's entries can be trusted now, computed as workers do. */
  trustOf({ cache: { feed, onFeedLoss } }: RouteConfig): FeedTrust {
    if (feed === null) return 'untracked';
    const { maxSilenceMs } = this.#deps.config().feeds[feed]!;
    const running = this.#running.get(feed);
    return running?.cells.trust(maxSilenceMs, onFeedLoss, this.#deps.clock) ?? onFeedLoss;
  }

  async deliver(delivery: WebhookDelivery): Promise<DeliveryAnswer> {
    for (const { receiver } of this.#running.values()) {
      if (receiver !== undefined && pathOf(receiver) === delivery.path) return receiver.receive(delivery);
    }
    return { status: 503, detail: 'no such feed' };
  }

  /** `named` is `feed` with `demo:` addresses resolved. */
  #made(feed: FeedConfig, named: FeedConfig, scope: readonly string[], source: string): Running {
    const { clock, fence, state } = this.#deps;
    const adapter = FEED_TYPES[feed.type]!;
    const log = this.#logOf(feed.name);
    const deps = feedDeps(clock, log);
    const shared = sharedFeed();
    const cells = new HealthCells(shared.health);
    const client = adapter.create(named, deps);
    const runner = new FeedRunner({
      config: named,
      adapter,
      feed: client,
      clock: deps.clock,
      random: Math.random,
      log,
      sink: new FenceSink(fence, state, feed, scope, new PositionCells(shared.positions)),
      health: { set: (_feed, report) => cells.set(report, clock) },
      scope,
      tagsOf: (change) => tagsOfChange(this.#deps.config(), change, scope),
    });
    this.#ready.push(runner);
    return { source, runner, receiver: client.receiver, shared, cells };
  }

  #logOf(feed: string): FeedLog {
    const { log } = this.#deps;
    return (level, event, details) => log[level]({ feed, event: 'feed', ...details }, event);
  }
}

/** The path in the normal form that routing uses. */
function pathOf({ path }: FeedReceiver): string {
  return normalizeTarget(path)?.path ?? path;
}

/** Resolves `demo:` to the built-in shop. Without a `demo:` origin the address stays unreachable. */
function withDemoUrl(feed: FeedConfig, demoUrls: Readonly<Record<string, string>>): FeedConfig {
  const { url } = feed.options as { readonly url?: string };
  if (url === undefined || !url.startsWith('demo:')) return feed;
  const [shop] = Object.values(demoUrls);
  if (shop === undefined) return feed;
  return { ...feed, options: { ...feed.options, url: `${shop}${url.slice('demo:'.length)}` } };
}

import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import type { FeedTrust } from '../../policies/model.ts';
import { FeedView } from '../feeds/shared-feed.ts';
import {
  compileConfiguration,
  type ActiveRoute,
  type RuntimeConfiguration,
} from '../origins/active-route.ts';
import type { Clock } from '../threads/clock.ts';
import type { RuntimeConfigurationSource } from './calls.ts';
import { trusts } from './trusted-proxies.ts';
import type { WorkerOrigins } from './worker-origins.ts';

/** The configuration in force in a worker, with what is compiled from it. A reload replaces all of it together. */
export class WorkerConfiguration {
  readonly #origins: WorkerOrigins;
  readonly #clock: Clock;
  #current!: RuntimeConfiguration;
  #feeds: ReadonlyMap<string, FeedView> = new Map();
  #receivers: ReadonlyMap<string, number> = new Map();
  #isTrusted: (address: string) => boolean = () => false;

  constructor(source: RuntimeConfigurationSource, origins: WorkerOrigins, clock: Clock) {
    this.#origins = origins;
    this.#clock = clock;
    this.reload(source);
  }

  reload(source: RuntimeConfigurationSource): void {
    const { config, feeds, receivers } = source;
    this.#current = compileConfiguration(config, this.#origins.reload(source));
    this.#receivers = new Map(receivers.map(({ path, maxBodyBytes }) => [path, maxBodyBytes]));
    this.#feeds = new Map(
      Object.entries(feeds).map(([name, shared]) => {
        const feed = config.feeds[name]!;
        return [name, new FeedView(feed, shared, FEED_TYPES[feed.type]!, this.#clock)];
      }),
    );
    this.#isTrusted = trusts(config.listen.trustedProxies);
  }

  get current(): RuntimeConfiguration {
    return this.#current;
  }

  /** The route with this name; null: a reload has removed it. */
  routeNamed(name: string): ActiveRoute | null {
    return this.#current.routes.get(name) ?? null;
  }

  feedNamed(name: string): FeedView | null {
    return this.#feeds.get(name) ?? null;
  }

  feedOf(route: ActiveRoute): FeedView | null {
    return route.feed === null ? null : this.feedNamed(route.feed.name);
  }

  trustOf(route: ActiveRoute): FeedTrust {
    return this.feedOf(route)?.trust(route.config.cache.onFeedLoss) ?? 'untracked';
  }

  /** The maximum bytes of a delivery to a feed at this normalised path; null: no feed receives there. */
  maxDeliveryBytes(path: string): number | null {
    return this.#receivers.get(path) ?? null;
  }

  /** Whether the address is one of `listen.trusted-proxies`. */
  isTrusted(address: string): boolean {
    return this.#isTrusted(address);
  }
}

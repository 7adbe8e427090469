import { NO_MARK } from '../../policies/feed-version.ts';
import type { Feed, FeedAdapter } from '../../origin-adapters/feeds/feed.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { InvalidationSink, FeedInvalidation, FeedState } from '../../proxy/feeds/sink.ts';
import { FeedRunner } from '../../proxy/feeds/runner.ts';
import { systemFeedClock } from './feed-reader.ts';

/** The real runner with an invalidation sink in memory. It shows how Weir interprets a feed's events. */
export class FeedFollower {
  readonly applied: FeedInvalidation[] = [];
  readonly runner: FeedRunner;
  state: FeedState = 'lost';
  #position: string | null;
  #checks: (() => void)[] = [];

  constructor(adapter: FeedAdapter, feed: Feed, position: string | null, maxSilenceMs: number) {
    this.#position = position;
    const config: FeedConfig = {
      name: 'feed',
      type: adapter.type,
      format: 'json',
      maxSilenceMs,
      readLagMs: 0,
      versionField: null,
      map: [{ when: null, invalidate: { tags: ['row:{id}'], urls: [], prefixes: [] } }],
      options: {},
    };
    this.runner = new FeedRunner({
      config,
      adapter,
      feed,
      clock: systemFeedClock,
      random: () => 0.2,
      log: () => undefined,
      sink: this.#sink(),
      health: {
        set: (_name, report) => {
          this.state = report.state;
          this.#changed();
        },
      },
      scope: ['scope'],
      tagsOf: (named) => named.tags,
    });
    this.runner.start();
  }

  get position(): string | null {
    return this.#position;
  }

  /** The rows named so far. */
  get rows(): string[] {
    return this.applied.flatMap((one) =>
      one.tags.filter((tag) => tag.startsWith('row:')).map((tag) => tag.slice(4)),
    );
  }

  get gaps(): number {
    return this.applied.filter((one) => one.kind === 'gap').length;
  }

  until(wanted: (follower: FeedFollower) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (wanted(this)) resolve();
        else this.#checks.push(check);
      };
      check();
    });
  }

  stop(): Promise<void> {
    return this.runner.stop();
  }

  #sink(): InvalidationSink {
    return {
      position: () => this.#position,
      mark: () => NO_MARK,
      apply: (invalidation) => {
        this.applied.push(invalidation);
        this.#position = invalidation.position ?? this.#position;
        this.#changed();
        return Promise.resolve({ sequence: this.applied.length });
      },
      announceHead: () => undefined,
    };
  }

  #changed(): void {
    const checks = this.#checks;
    this.#checks = [];
    for (const check of checks) check();
  }
}

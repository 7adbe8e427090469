import type { FeedAdapter } from '../../origin-adapters/feeds/feed.ts';
import type { RouteCacheConfig } from '../../policies/config/config.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { Clock } from '../clock.ts';
import { HealthBoard, healthBuffer } from './health-board.ts';
import { PositionBoard, positionBuffer } from './position-board.ts';

/** What the coordinator tells workers of one feed; it lives as long as the feed's runner. */
export interface SharedFeed {
  readonly health: SharedArrayBuffer;
  readonly positions: SharedArrayBuffer;
}

export function sharedFeed(): SharedFeed {
  return { health: healthBuffer(), positions: positionBuffer() };
}

/** A feed as a worker sees it. */
export class FeedView {
  readonly name: string;
  readonly #maxSilenceMs: number;
  readonly #health: HealthBoard;
  readonly #positions: PositionBoard;
  readonly #adapter: Pick<FeedAdapter, 'showPosition' | 'comparePositions'>;
  readonly #clock: Clock;

  constructor(
    feed: { readonly name: string; readonly maxSilenceMs: number },
    shared: SharedFeed,
    adapter: Pick<FeedAdapter, 'showPosition' | 'comparePositions'>,
    clock: Clock,
  ) {
    this.name = feed.name;
    this.#maxSilenceMs = feed.maxSilenceMs;
    this.#health = new HealthBoard(shared.health);
    this.#positions = new PositionBoard(shared.positions);
    this.#adapter = adapter;
    this.#clock = clock;
  }

  /** How far entries of a route may be believed now. */
  trust(onLoss: RouteCacheConfig['onFeedLoss']): FeedTrust {
    return this.#health.trust(this.#maxSilenceMs, onLoss, this.#clock);
  }

  /** Covers every change up to the fence's sequence that was read before; null: not known. */
  get announced(): string | null {
    return this.#positions.announced;
  }

  /** Everything up to it is in force for whoever judges by the fence afterwards; null: not known. */
  get applied(): string | null {
    return this.#positions.applied;
  }

  /** As the feed's own world writes it. */
  show(position: string): string {
    return this.#adapter.showPosition(position);
  }

  /** Whether `position` is known to be at `mark` or after it. */
  isAtLeast(position: string, mark: string): boolean {
    const order = this.#adapter.comparePositions(position, mark);
    return order !== null && order >= 0;
  }

  /** Resolves when everything up to `mark` is in force; false: not within `timeoutMs`. */
  reaches(mark: string, timeoutMs: number): Promise<boolean> {
    return this.#positions.applies(
      (position) => this.isAtLeast(position, mark),
      timeoutMs,
      () => this.#clock.monotonicMs(),
    );
  }

  /** Resolves when everything that was committed by now is in force; false: not proved within `timeoutMs`. */
  catchesUp(timeoutMs: number): Promise<boolean> {
    const now = (): number => this.#clock.monotonicMs();
    return this.#health.provedSince(now(), timeoutMs, now);
  }
}

import type { FeedAdapter } from '../../origin-adapters/feeds/feed.ts';
import type { FeedConfig, RouteCacheConfig } from '../../policies/config/config.ts';
import { readVersion } from '../../policies/feed-version.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { Clock } from '../threads/clock.ts';
import { HealthCells, healthBuffer } from './health-cells.ts';
import { PositionCells, positionBuffer } from './position-cells.ts';

/** The shared memory of one feed, which lives as long as the feed's runner. */
export interface SharedFeed {
  readonly health: SharedArrayBuffer;
  readonly positions: SharedArrayBuffer;
}

export function sharedFeed(): SharedFeed {
  return { health: healthBuffer(), positions: positionBuffer() };
}

/** A worker's view of a feed. */
export class FeedView {
  readonly name: string;
  /** Responses attest the versions of changes instead of positions. */
  readonly #hasVersions: boolean;
  readonly #maxSilenceMs: number;
  readonly #health: HealthCells;
  readonly #positions: PositionCells;
  readonly #adapter: Pick<FeedAdapter, 'provesHead' | 'showPosition' | 'comparePositions'>;
  readonly #clock: Clock;

  constructor(
    feed: Pick<FeedConfig, 'name' | 'maxSilenceMs' | 'versionField'>,
    shared: SharedFeed,
    adapter: Pick<FeedAdapter, 'provesHead' | 'showPosition' | 'comparePositions'>,
    clock: Clock,
  ) {
    this.name = feed.name;
    this.#hasVersions = feed.versionField !== null;
    this.#maxSilenceMs = feed.maxSilenceMs;
    this.#health = new HealthCells(shared.health);
    this.#positions = new PositionCells(shared.positions);
    this.#adapter = adapter;
    this.#clock = clock;
  }

  /** How far entries of a route that trusts this feed may be used now. */
  trust(onLoss: RouteCacheConfig['onFeedLoss']): FeedTrust {
    return this.#health.trust(this.#maxSilenceMs, onLoss, this.#clock);
  }

  /**
   * The position or version that a response has to attest; null: unknown. It must be read after the fence's sequence and
   * then covers every change up to that sequence.
   */
  get announced(): string | null {
    return this.#hasVersions ? this.#positions.version : this.#positions.announced;
  }

  /**
   * When the feed was last proved to be at its head (monotonic); 0: never. `announced`, read afterwards, covers every
   * change committed before.
   */
  get provedAtMs(): number {
    return this.#health.provedAtMs();
  }

  /** The least that a response attests if it includes everything up to that applied position. */
  attestationOf(position: string): string | null {
    return this.#hasVersions ? this.#positions.version : position;
  }

  /** Whether a response that attests `version` includes everything up to `wanted`. */
  attests(version: string, wanted: string): boolean {
    if (!this.#hasVersions) return this.isAtLeast(version, wanted);
    const shown = readVersion(version);
    return shown !== null && shown >= BigInt(wanted);
  }

  /** The position that the response to a write attests; null: none, or responses attest versions. */
  positionAttested(version: string | undefined): string | null {
    return this.#hasVersions ? null : (version ?? null);
  }

  /** Verdicts of the fence from now on include everything up to this position; null: unknown. */
  get applied(): string | null {
    return this.#positions.applied;
  }

  /** The position in the form of the feed's server. */
  show(position: string): string {
    return this.#adapter.showPosition(position);
  }

  /** Whether `position` is known to be at `mark` or after it. */
  isAtLeast(position: string, mark: string): boolean {
    const order = this.#adapter.comparePositions(position, mark);
    return order !== null && order >= 0;
  }

  /** Resolves once everything up to `mark` is applied; false after `timeoutMs`. */
  reaches(mark: string, timeoutMs: number): Promise<boolean> {
    return this.#positions.applies(
      (position) => this.isAtLeast(position, mark),
      timeoutMs,
      () => this.#clock.monotonicMs(),
    );
  }

  /** Resolves once everything committed by now is applied; false: not proved within `timeoutMs`, or never. */
  async catchesUp(timeoutMs: number): Promise<boolean> {
    if (!this.#adapter.provesHead) return false;
    const now = (): number => this.#clock.monotonicMs();
    return this.#health.provedSince(now(), timeoutMs, now);
  }
}

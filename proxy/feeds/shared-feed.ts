import type { FeedAdapter } from '../../origin-adapters/feeds/feed.ts';
import type { FeedConfig, RouteCacheConfig } from '../../policies/config/config.ts';
import { readVersion } from '../../policies/feed-version.ts';
import type { FeedTrust } from '../../policies/model.ts';
import type { Clock } from '../threads/clock.ts';
import { HealthCells, healthBuffer } from './health-cells.ts';
import { PositionCells, positionBuffer } from './position-cells.ts';

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
  /** Answers attest versions that changes tell, not positions. */
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

  /** How far entries of a route may be believed now. */
  trust(onLoss: RouteCacheConfig['onFeedLoss']): FeedTrust {
    return this.#health.trust(this.#maxSilenceMs, onLoss, this.#clock);
  }

  /**
   * What an answer has to attest, to be asked for after the fence's sequence was read: it covers every change up to
   * there. null: not known.
   */
  get announced(): string | null {
    return this.#hasVersions ? this.#positions.version : this.#positions.announced;
  }

  /**
   * When it was last proved to be at its head (monotonic): what is asked for as announced afterwards covers every change
   * that was committed before. 0: never.
   */
  get provedAtMs(): number {
    return this.#health.provedAtMs();
  }

  /** The same for an applied position: what an answer that shows everything up to it attests at least. */
  attestationOf(position: string): string | null {
    return this.#hasVersions ? this.#positions.version : position;
  }

  /** Whether an answer of that version shows all that `wanted` stands for. */
  attests(version: string, wanted: string): boolean {
    if (!this.#hasVersions) return this.isAtLeast(version, wanted);
    const shown = readVersion(version);
    return shown !== null && shown >= BigInt(wanted);
  }

  /** What the origin's field says of the answer to a write, where that is a position of this feed. */
  positionAttested(version: string | undefined): string | null {
    return this.#hasVersions ? null : (version ?? null);
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

  /** Resolves when everything that was committed by now is in force; false: not proved within `timeoutMs`, or never. */
  async catchesUp(timeoutMs: number): Promise<boolean> {
    if (!this.#adapter.provesHead) return false;
    const now = (): number => this.#clock.monotonicMs();
    return this.#health.provedSince(now(), timeoutMs, now);
  }
}

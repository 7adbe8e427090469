import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import { ageValueSeconds } from '../../policies/rfc9111/freshness.ts';
import type { Clock } from '../threads/clock.ts';
import type { FeedView } from '../feeds/shared-feed.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { ActiveRoute } from '../routes/active-route.ts';

/** The moment at which the origin is asked: an answer may show what was there before, and has to show what was in force. */
export class FetchSnapshot {
  /** The fence's sequence. */
  readonly floor: number;
  /** Monotonic. */
  readonly askedAtMs: number;
  /** Wall clock. */
  readonly requestTimeMs: number;
  readonly #fence: FenceReader;
  readonly #route: ActiveRoute;
  /** The route's own, as it was then: a reload may change in which terms answers are compared. */
  readonly #feed: FeedView | null;
  /** What an answer attests that shows everything in force at the floor; null: not known. */
  readonly #announced: string | null;
  /** What it shows then was committed before this, or told by the feed (monotonic). */
  readonly #provedAtMs: number;

  constructor(
    { fence, clock }: { readonly fence: FenceReader; readonly clock: Clock },
    route: ActiveRoute,
    feed: FeedView | null,
  ) {
    this.#fence = fence;
    this.#route = route;
    this.#feed = feed;
    this.floor = fence.published();
    this.#provedAtMs = feed?.provedAtMs ?? 0;
    // After the floor and the proof: what came into force up to them was announced before.
    this.#announced = feed?.announced ?? null;
    this.askedAtMs = clock.monotonicMs();
    this.requestTimeMs = clock.nowMs();
  }

  /** Whether an answer with these fields may show the state before something that its tags were invalidated by. */
  isPossiblyStale(tagHashes: TagHashes, fields: Fields): boolean {
    const { versionHeader } = this.#route.config.cache;
    if (versionHeader === null) return this.#isWithinReadLag(tagHashes, fields);
    const feed = this.#feed;
    const version = fieldValue(fields, versionHeader);
    if (feed === null || version === undefined || this.#announced === null) return true;
    // The origin says itself how current its answer is: it has to show all that was in force when it was asked.
    if (!feed.attests(version, this.#announced)) return true;
    // A purge, a write or another feed may speak of what was committed after that.
    const ahead = this.#fence.hasher.hashNotYetSeen(tagHashes, feed.name);
    return this.#fence.lastInvalidatedAtMs(ahead) >= this.#provedAtMs || this.#isWithinReadLag(ahead, fields);
  }

  /** A response that has an Age was asked for so much earlier, by a cache before the origin. */
  #isWithinReadLag(tagHashes: TagHashes, fields: Fields): boolean {
    const { readLagMs } = this.#route;
    const ageMs = ageValueSeconds(fields) * 1000;
    if (readLagMs === 0 && ageMs === 0) return false;
    return this.#fence.withinReadLag(tagHashes, this.askedAtMs - ageMs, readLagMs);
  }
}

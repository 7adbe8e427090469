import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import { ageValueSeconds } from '../../policies/rfc9111/freshness.ts';
import type { Clock } from '../threads/clock.ts';
import type { FeedView } from '../feeds/shared-feed.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { ActiveRoute } from '../origins/active-route.ts';

/** The state when the origin is asked. An answer must reflect every invalidation in force then. */
export class FetchSnapshot {
  /** The fence's sequence. */
  readonly floor: number;
  /** Monotonic. */
  readonly askedAtMs: number;
  /** Wall clock. */
  readonly requestTimeMs: number;
  readonly #fence: FenceReader;
  readonly #route: ActiveRoute;
  /** The route's feed when the origin was asked: a reload may change how versions are compared. */
  readonly #feed: FeedView | null;
  /** The feed position that the answer must attest to show everything in force at the floor; null: unknown. */
  readonly #announced: string | null;
  /** An attesting answer shows all changes committed before this time (monotonic), and all that the feed has delivered. */
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
    // Read after the floor and the proof, so that it covers every change that they cover.
    this.#announced = feed?.announced ?? null;
    this.askedAtMs = clock.monotonicMs();
    this.requestTimeMs = clock.nowMs();
  }

  /** Whether an answer with these fields may show the state before an invalidation of one of its tags. */
  isPossiblyStale(tagHashes: TagHashes, fields: Fields): boolean {
    const { versionHeader } = this.#route.config.cache;
    if (versionHeader === null) return this.#isWithinReadLag(tagHashes, fields);
    const feed = this.#feed;
    const version = fieldValue(fields, versionHeader);
    if (feed === null || version === undefined || this.#announced === null) return true;
    // The version field states how current the answer is. It must cover all changes in force when the origin was asked.
    if (!feed.attests(version, this.#announced)) return true;
    // A purge, a write or another feed may announce a change that was committed after that version.
    const ahead = this.#fence.hasher.hashNotYetSeen(tagHashes, feed.name);
    return this.#fence.lastInvalidatedAtMs(ahead) >= this.#provedAtMs || this.#isWithinReadLag(ahead, fields);
  }

  /** Age means that a cache in front of the origin fetched the response that much earlier. */
  #isWithinReadLag(tagHashes: TagHashes, fields: Fields): boolean {
    const { readLagMs } = this.#route;
    const ageMs = ageValueSeconds(fields) * 1000;
    if (readLagMs === 0 && ageMs === 0) return false;
    return this.#fence.withinReadLag(tagHashes, this.askedAtMs - ageMs, readLagMs);
  }
}

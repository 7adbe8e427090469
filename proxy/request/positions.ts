import { fieldValue, fieldValues, type Fields } from '../../policies/http/fields.ts';
import {
  formatPosition,
  MIN_POSITION_FIELD,
  parsePositions,
  POSITION_FIELD,
  type FeedPosition,
} from '../../policies/position-field.ts';
import type { Clock } from '../threads/clock.ts';
import type { FeedView } from '../feeds/shared-feed.ts';
import type { ActiveRoute } from '../origins/active-route.ts';
import type { NotedPosition, RoutedContext } from './context.ts';

/** Requests of a worker that may wait for a position; further ones are passed to the origin. */
const MAX_WAITING = 1_000;

/** Routes with `position-header`: responses tell how current they are, and requests how current they must be. */
export class Positions {
  readonly #feedNamed: (name: string) => FeedView | null;
  readonly #clock: Clock;
  #waiting = 0;

  constructor(feedNamed: (name: string) => FeedView | null, clock: Clock) {
    this.#feedNamed = feedNamed;
    this.#clock = clock;
  }

  /**
   * The position that the route's feed has applied. It must be read before the fence: then all changes up to it are in force
   * for every later verdict. Null: the route tells no position, or none is known.
   */
  note(route: ActiveRoute): NotedPosition | null {
    const feed = this.#feedOf(route);
    const position = feed?.applied ?? null;
    if (feed === null || position === null) return null;
    const field = formatPosition({ feed: feed.name, position: feed.show(position) });
    if (field === null) return null;
    const attestation = feed.attestationOf(position);
    return { field, isShownBy: (version) => attestation !== null && feed.attests(version, attestation) };
  }

  /** The positions that a request demands of a route that honours them; `unreachable`: this node can't tell when it has them. */
  wanted(context: RoutedContext): readonly FeedPosition[] | 'unreachable' {
    if (!context.route.config.cache.positionHeader) return [];
    const lines = fieldValues(context.exchange.fields, MIN_POSITION_FIELD);
    if (lines.length === 0) return [];
    const positions = parsePositions(lines);
    if (positions === null || positions.some(({ feed }) => this.#feedNamed(feed) === null))
      return 'unreachable';
    return positions;
  }

  /** Whether all these positions are applied, or become so within the route's `position-wait`. */
  async reached(wanted: readonly FeedPosition[], route: ActiveRoute): Promise<boolean> {
    if (this.#waiting >= MAX_WAITING) return false;
    this.#waiting += 1;
    const deadlineMs = this.#clock.monotonicMs() + route.config.cache.positionWaitMs;
    try {
      for (const { feed, position } of wanted) {
        const leftMs = deadlineMs - this.#clock.monotonicMs();
        // A reload may have removed the feed meanwhile.
        if ((await this.#feedNamed(feed)?.reaches(position, leftMs)) !== true) return false;
      }
      return true;
    } finally {
      this.#waiting -= 1;
    }
  }

  /**
   * The position of a response straight from the origin, which was asked after the position was noted. The response attests
   * its own version; without one it is as current as the feed was, unless the origin's reads lag.
   */
  ofPassed(context: RoutedContext, received: Fields): string[] {
    const { position: noted, route } = context;
    if (noted === null) return [];
    const { versionHeader } = route.config.cache;
    const version = versionHeader === null ? undefined : fieldValue(received, versionHeader);
    const isCurrent =
      versionHeader === null ? route.readLagMs === 0 : version !== undefined && noted.isShownBy(version);
    return isCurrent ? [POSITION_FIELD, noted.field] : [];
  }

  /**
   * A position that includes a write, for its response. The origin names it in the route's `version-header` if that is a
   * position. Otherwise this waits until the feed has proved, after the response, that it is at its head: at most `position-wait`.
   */
  async ofWrite(context: RoutedContext, status: number, received: Fields): Promise<string[]> {
    const { route } = context;
    const feed = this.#feedOf(route);
    if (feed === null || status >= 400) return [];
    const { versionHeader, positionWaitMs } = route.config.cache;
    const version = versionHeader === null ? undefined : fieldValue(received, versionHeader);
    const position = feed.positionAttested(version);
    if (position !== null) {
      const field = formatPosition({ feed: feed.name, position });
      return field === null ? [] : [POSITION_FIELD, field];
    }
    const isCaughtUp = await feed.catchesUp(positionWaitMs);
    const noted = isCaughtUp ? this.note(route) : null;
    return noted === null ? [] : [POSITION_FIELD, noted.field];
  }

  #feedOf(route: ActiveRoute): FeedView | null {
    if (!route.config.cache.positionHeader || route.feed === null) return null;
    return this.#feedNamed(route.feed.name);
  }
}

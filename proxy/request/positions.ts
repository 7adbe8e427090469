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
import type { ActiveRoute } from '../routes/active-route.ts';
import type { NotedPosition, RoutedContext } from './context.ts';

/** Requests that may wait for a position, in each worker; beyond it they go to the origin. */
const MAX_WAITING = 1_000;

/** Answers of routes with `position-header` say how current they are, and requests how current they have to be. */
export class Positions {
  readonly #feedNamed: (name: string) => FeedView | null;
  readonly #clock: Clock;
  #waiting = 0;

  constructor(feedNamed: (name: string) => FeedView | null, clock: Clock) {
    this.#feedNamed = feedNamed;
    this.#clock = clock;
  }

  /**
   * To be asked before the fence: everything up to this is in force for whatever is judged afterwards. null: the route
   * says nothing, or nothing is known.
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

  /** What a request asks for, where its route listens; `unreachable`: nobody can say when that would be. */
  wanted(context: RoutedContext): readonly FeedPosition[] | 'unreachable' {
    if (!context.route.config.cache.positionHeader) return [];
    const lines = fieldValues(context.exchange.fields, MIN_POSITION_FIELD);
    if (lines.length === 0) return [];
    const positions = parsePositions(lines);
    if (positions === null || positions.some(({ feed }) => this.#feedNamed(feed) === null))
      return 'unreachable';
    return positions;
  }

  /** Whether all of that is in force by now, or is within the route's `position-wait`. */
  async reached(wanted: readonly FeedPosition[], route: ActiveRoute): Promise<boolean> {
    if (this.#waiting >= MAX_WAITING) return false;
    this.#waiting += 1;
    const deadlineMs = this.#clock.monotonicMs() + route.config.cache.positionWaitMs;
    try {
      for (const { feed, position } of wanted) {
        const leftMs = deadlineMs - this.#clock.monotonicMs();
        // Meanwhile a reload may have taken it away.
        if ((await this.#feedNamed(feed)?.reaches(position, leftMs)) !== true) return false;
      }
      return true;
    } finally {
      this.#waiting -= 1;
    }
  }

  /**
   * Of an answer that came straight from the origin, asked after the position was noted: it says itself how current it
   * is, or else shows everything that the feed had told, unless the origin's read side lags.
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
   * Of the answer to a write: a position that includes it. The origin names it in the route's `version-header`, where that
   * is a position; else the feed is waited for until it was proved to be at its head after the answer, at most for `position-wait`.
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

/** Logs the first change of each shape that a feed's map does not cover, or that lacks a value for a template. */
import type { Change } from '../../policies/change.ts';
import { shapeOf } from '../../policies/change-shape.ts';
import type { FeedMapping } from '../../policies/config/config.ts';
import type { FeedLog } from '../../origin-adapters/feeds/feed.ts';

/** The number of shapes that are logged for one feed. Counters include all changes. */
export const MAX_SHAPES = 20;

export class ChangeWarnings {
  readonly #map: readonly FeedMapping[];
  readonly #log: FeedLog;
  readonly #seen = new Set<string>();

  constructor(map: readonly FeedMapping[], log: FeedLog) {
    this.#map = map;
    this.#log = log;
  }

  unmapped(change: Change): void {
    this.#warnOnce(change, '', (shape) => {
      const paths = [...new Set(this.#map.flatMap(({ when }) => Object.keys(when ?? {})))];
      const cure =
        paths.length === 0
          ? 'give the feed a map'
          : `compare ${paths.join(', ')} with the conditions of the map, or add an entry for such changes`;
      this.#log('warn', 'no entry of the map matches a change: it invalidates nothing', { ...shape, cure });
    });
  }

  incomplete(change: Change, missing: readonly string[]): void {
    this.#warnOnce(change, missing.join(), (shape) => {
      const cure =
        change.known === 'key-of-before'
          ? 'set REPLICA IDENTITY FULL on the table, or name columns of its key in the templates'
          : 'use fields in the templates that such changes have, or add these to the changes';
      const message =
        'a change has no value for a template: everything that the feed may change is invalidated';
      this.#log('warn', message, { ...shape, missing, cure });
    });
  }

  #warnOnce(
    change: Change,
    more: string,
    warn: (shape: { readonly change: object; readonly fields: readonly string[] }) => void,
  ): void {
    if (this.#seen.size >= MAX_SHAPES) return;
    const { key, ...shape } = shapeOf(change, this.#map);
    const kind = `${more}\n${key}`;
    if (this.#seen.has(kind)) return;
    this.#seen.add(kind);
    warn(shape);
    if (this.#seen.size < MAX_SHAPES) return;
    this.#log('warn', 'further kinds of changes that the map does not cover are counted, not logged', {
      logged: MAX_SHAPES,
    });
  }
}

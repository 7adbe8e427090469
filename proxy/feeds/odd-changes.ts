/** Logs the first change of each kind that a feed's map does not take, or not with all that a template needs. */
import type { Change } from '../../policies/change.ts';
import { shapeOf } from '../../policies/change-shape.ts';
import type { FeedMapping } from '../../policies/config/config.ts';
import type { FeedLog } from '../../origin-adapters/feeds/feed.ts';

/** Kinds that are logged of one feed; the counters count all changes. */
export const MAX_SHAPES = 20;

export class OddChanges {
  readonly #map: readonly FeedMapping[];
  readonly #log: FeedLog;
  readonly #seen = new Set<string>();

  constructor(map: readonly FeedMapping[], log: FeedLog) {
    this.#map = map;
    this.#log = log;
  }

  unmapped(change: Change): void {
    this.#note(change, '', (shape) => {
      const paths = [...new Set(this.#map.flatMap(({ when }) => Object.keys(when ?? {})))];
      const cure =
        paths.length === 0
          ? 'give the feed a map'
          : `compare ${paths.join(', ')} with the conditions of the map, or add an entry for such changes`;
      this.#log('warn', 'no entry of the map takes a change: it invalidates nothing', { ...shape, cure });
    });
  }

  incomplete(change: Change, missing: readonly string[]): void {
    this.#note(change, missing.join(), (shape) => {
      const cure =
        change.known === 'key-of-before'
          ? 'set REPLICA IDENTITY FULL on the table, or name columns of its key in the templates'
          : 'name fields in the templates that such changes tell, or have the sender tell these';
      const message =
        'a change does not tell what a template needs: all that the feed may change is invalidated';
      this.#log('warn', message, { ...shape, missing, cure });
    });
  }

  #note(
    change: Change,
    more: string,
    tell: (shape: { readonly change: object; readonly fields: readonly string[] }) => void,
  ): void {
    if (this.#seen.size >= MAX_SHAPES) return;
    const { key, ...shape } = shapeOf(change, this.#map);
    const kind = `${more}\n${key}`;
    if (this.#seen.has(kind)) return;
    this.#seen.add(kind);
    tell(shape);
    if (this.#seen.size < MAX_SHAPES) return;
    this.#log('warn', 'more kinds of changes that the map does not take are counted, not logged', {
      logged: MAX_SHAPES,
    });
  }
}

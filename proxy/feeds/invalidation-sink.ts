import { createHash } from 'node:crypto';
import type { FeedConfig } from '../../policies/config/config.ts';
import { NO_MARK, type VersionMark } from '../../policies/feed-version.ts';
import { feedDigest } from '../../policies/feed-digest.ts';
import type { Fence } from '../fence/fence.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import type { InvalidationSink, FeedInvalidation } from './sink.ts';
import type { PositionCells } from './position-cells.ts';

/** The invalidation sink of a feed: a change's tags become durable with its position, or before it where they take several transactions. */
export class FenceSink implements InvalidationSink {
  readonly #fence: Fence;
  readonly #positions: StateTable;
  readonly #key: string;
  readonly #digest: string;
  readonly #scope: readonly string[];
  readonly #cells: PositionCells;
  #position: string | null;
  #mark: VersionMark;

  /** `scope`: the tags that cover everything the feed may change. */
  constructor(
    fence: Fence,
    state: StateStore,
    feed: FeedConfig,
    scope: readonly string[],
    cells: PositionCells,
  ) {
    this.#fence = fence;
    this.#scope = scope;
    this.#positions = state.table('positions');
    this.#key = keyOf(feed.name);
    this.#digest = feedDigest(feed);
    this.#cells = cells;
    const { position, mark } = this.#stored();
    this.#position = position;
    this.#mark = mark;
    cells.announce(position);
    cells.announceVersion(mark);
    cells.apply(position);
  }

  position(): string | null {
    return this.#position;
  }

  mark(): VersionMark {
    return this.#mark;
  }

  async apply(invalidation: FeedInvalidation): Promise<{ readonly sequence: number }> {
    const { feed, tags, position, mark, kind } = invalidation;
    // The gap has no position: until the next one it is unknown how far the feed has got.
    const isLost = kind === 'gap' && position === null;
    const value = Buffer.from(JSON.stringify({ digest: this.#digest, position, ...writtenMark(mark) }));
    if (position !== null || isLost) this.#cells.announce(position);
    this.#cells.announceVersion(mark);
    const { sequence } = await this.#fence.invalidate({
      tags,
      mode: 'hard',
      by: feed,
      under: this.#scope,
      also: () => {
        if (position !== null) this.#positions.put(this.#key, value);
      },
    });
    if (position !== null) this.#position = position;
    this.#mark = mark;
    if (position !== null || isLost) this.#cells.apply(position);
    return { sequence };
  }

  announceHead(_feed: string, position: string): void {
    this.#cells.announce(position);
  }

  #stored(): { readonly position: string | null; readonly mark: VersionMark } {
    const stored = this.#positions.get(this.#key);
    const row = stored === undefined ? null : (JSON.parse(stored.toString()) as PositionRow);
    if (row?.digest !== this.#digest) return { position: null, mark: NO_MARK };
    const { position, version, isVersionKnown } = row;
    if (version === undefined) return { position, mark: NO_MARK };
    return { position, mark: { highest: BigInt(version), isKnown: isVersionKnown === true } };
  }
}

interface PositionRow {
  readonly digest: string;
  readonly position: string;
  /** The mark's highest version, if it has one. */
  readonly version?: string;
  readonly isVersionKnown?: boolean;
}

function writtenMark({ highest, isKnown }: VersionMark): Pick<PositionRow, 'version' | 'isVersionKnown'> {
  return highest === null ? {} : { version: String(highest), isVersionKnown: isKnown };
}

/** A digest, because a name may be longer than a key of the table. */
function keyOf(feed: string): string {
  return createHash('sha256').update(feed).digest('hex');
}

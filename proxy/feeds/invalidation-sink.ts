import { createHash } from 'node:crypto';
import type { FeedConfig } from '../../policies/config/config.ts';
import { NO_MARK, type VersionMark } from '../../policies/feed-version.ts';
import { feedDigest } from '../../policies/feed-digest.ts';
import type { Fence } from '../fence/fence.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import type { InvalidationSink, FeedInvalidation } from './sink.ts';
import type { PositionCells } from './position-cells.ts';

/** A feed's way through the fence: a change's tags and its position become durable together. */
export class FenceSink implements InvalidationSink {
  readonly #fence: Fence;
  readonly #positions: StateTable;
  readonly #key: string;
  readonly #digest: string;
  readonly #scope: readonly string[];
  readonly #board: PositionCells;
  #position: string | null;
  #mark: VersionMark;

  /** `scope` stands for everything that the feed may change. */
  constructor(
    fence: Fence,
    state: StateStore,
    feed: FeedConfig,
    scope: readonly string[],
    board: PositionCells,
  ) {
    this.#fence = fence;
    this.#scope = scope;
    this.#positions = state.table('positions');
    this.#key = keyOf(feed.name);
    this.#digest = feedDigest(feed);
    this.#board = board;
    const { position, mark } = this.#stored();
    this.#position = position;
    this.#mark = mark;
    board.announce(position);
    board.announceVersion(mark);
    board.apply(position);
  }

  position(): string | null {
    return this.#position;
  }

  mark(): VersionMark {
    return this.#mark;
  }

  async apply(told: FeedInvalidation): Promise<{ readonly sequence: number }> {
    const { feed, tags, position, mark, kind } = told;
    // What was missed lies before a place without a name: until the next one, nobody can say how far the feed has got.
    const isLost = kind === 'gap' && position === null;
    const value = Buffer.from(JSON.stringify({ digest: this.#digest, position, ...writtenMark(mark) }));
    if (position !== null || isLost) this.#board.announce(position);
    this.#board.announceVersion(mark);
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
    if (position !== null || isLost) this.#board.apply(position);
    return { sequence };
  }

  announceHead(_feed: string, position: string): void {
    this.#board.announce(position);
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
  /** The mark, where it holds a version. */
  readonly version?: string;
  readonly isVersionKnown?: boolean;
}

function writtenMark({ highest, isKnown }: VersionMark): Pick<PositionRow, 'version' | 'isVersionKnown'> {
  return highest === null ? {} : { version: String(highest), isVersionKnown: isKnown };
}

/** Names may be longer than a key. */
function keyOf(feed: string): string {
  return createHash('sha256').update(feed).digest('hex');
}

import { createHash } from 'node:crypto';
import type { FeedConfig } from '../../policies/config/config.ts';
import { feedDigest } from '../../policies/feed-digest.ts';
import type { Fence } from '../fence/fence.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import type { FeedDoor, FeedInvalidation } from './door.ts';
import type { PositionBoard } from './position-board.ts';

/** A feed's way through the fence: a change's tags and its position become durable together. */
export class FenceDoor implements FeedDoor {
  readonly #fence: Fence;
  readonly #positions: StateTable;
  readonly #key: string;
  readonly #digest: string;
  readonly #board: PositionBoard;
  #position: string | null;

  constructor(fence: Fence, state: StateStore, feed: FeedConfig, board: PositionBoard) {
    this.#fence = fence;
    this.#positions = state.table('positions');
    this.#key = keyOf(feed.name);
    this.#digest = feedDigest(feed);
    this.#board = board;
    this.#position = this.#stored();
    board.announce(this.#position);
    board.apply(this.#position);
  }

  position(): string | null {
    return this.#position;
  }

  async apply({ tags, position, kind }: FeedInvalidation): Promise<{ readonly sequence: number }> {
    // What was missed lies before a place without a name: until the next one, nobody can say how far the feed has got.
    const isLost = kind === 'gap' && position === null;
    const value = Buffer.from(JSON.stringify({ digest: this.#digest, position }));
    if (position !== null || isLost) this.#board.announce(position);
    const { sequence } = await this.#fence.invalidate({
      tags,
      mode: 'hard',
      also: () => {
        if (position !== null) this.#positions.put(this.#key, value);
      },
    });
    if (position !== null) this.#position = position;
    if (position !== null || isLost) this.#board.apply(position);
    return { sequence };
  }

  #stored(): string | null {
    const stored = this.#positions.get(this.#key);
    if (stored === undefined) return null;
    const { digest, position } = JSON.parse(stored.toString()) as { digest: string; position: string };
    return digest === this.#digest ? position : null;
  }
}

/** Names may be longer than a key. */
function keyOf(feed: string): string {
  return createHash('sha256').update(feed).digest('hex');
}

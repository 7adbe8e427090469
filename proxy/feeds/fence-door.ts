import { createHash } from 'node:crypto';
import type { FeedConfig } from '../../policies/config/config.ts';
import { feedDigest } from '../../policies/feed-digest.ts';
import type { Fence } from '../fence/fence.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import type { FeedDoor, FeedInvalidation } from './door.ts';

/** The feeds' way through the fence: a change's tags and its position become durable together. */
export class FenceDoor implements FeedDoor {
  readonly #fence: Fence;
  readonly #positions: StateTable;
  readonly #digests: ReadonlyMap<string, string>;
  readonly #known = new Map<string, string>();

  constructor(fence: Fence, state: StateStore, feeds: readonly FeedConfig[]) {
    this.#fence = fence;
    this.#positions = state.table('positions');
    this.#digests = new Map(feeds.map((feed) => [feed.name, feedDigest(feed)]));
  }

  position(feed: string): string | null {
    const known = this.#known.get(feed);
    if (known !== undefined) return known;
    const stored = this.#positions.get(keyOf(feed));
    if (stored === undefined) return null;
    const { digest, position } = JSON.parse(stored.toString()) as { digest: string; position: string };
    return digest === this.#digests.get(feed) ? position : null;
  }

  async apply({ feed, tags, position }: FeedInvalidation): Promise<{ readonly sequence: number }> {
    const value = Buffer.from(JSON.stringify({ digest: this.#digests.get(feed), position }));
    const { sequence } = await this.#fence.invalidate({
      tags,
      mode: 'hard',
      also: () => {
        if (position !== null) this.#positions.put(keyOf(feed), value);
      },
    });
    if (position !== null) this.#known.set(feed, position);
    return { sequence };
  }
}

/** Names may be longer than a key. */
function keyOf(feed: string): string {
  return createHash('sha256').update(feed).digest('hex');
}

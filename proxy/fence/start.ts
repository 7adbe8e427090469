import { HASH_KEY_WORDS, type HashKey } from '../threads/keyed-hash.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { StateStore } from '../state/state-store.ts';
import { readNumber, wide } from './rows.ts';
import { bytesOfHashes, newTagKey, TagHasher, tagKeyOfBytes } from './tag-hash.ts';

const KEY = 'tag-key';

export interface StartDependencies {
  readonly state: StateStore;
  /** Called within the change that gives the state a key, to hash anew the tags that other tables hold. */
  readonly onNewKey?: (hasher: TagHasher) => void;
  /** Invalidates everything that was stored in earlier runs. */
  readonly distrust?: boolean;
}

/** Where a run of the fence begins. `sequence` and `base`: as in `FenceStart`. */
interface StartingPoint {
  /** Of the tag hashes. */
  readonly key: HashKey;
  readonly sequence: number;
  readonly base: number;
}

/**
 * Reads from the state where this run begins. Where the state has no key, its records are of unkeyed hashes; where it is
 * distrusted, they may be incomplete. Then the base is raised above every floor, which invalidates all that is stored,
 * and the records are removed.
 */
export async function startOf(
  { state, onNewKey, distrust = false }: StartDependencies,
  mechanisms: Mechanisms,
): Promise<StartingPoint> {
  const meta = state.table('meta');
  const reserved = readNumber(meta.get('reserved')) ?? 0;
  const base = readNumber(meta.get('base')) ?? 0;
  const known = meta.get(KEY);
  if (known !== undefined && !distrust) {
    const sequence = mechanisms.reservedBlocks ? reserved : (readNumber(meta.get('sequence')) ?? 0);
    return { key: tagKeyOfBytes(known), sequence, base };
  }
  // Above every floor that an earlier run has used.
  const above = reserved === 0 ? 0 : reserved + 1;
  const tables = [state.table('records'), state.table('overflow')];
  const rows = tables.flatMap((table) => [...table.range()].map(({ key }) => ({ table, key })));
  await state.write(() => {
    for (const { table, key } of rows) table.remove(key);
    if (known === undefined) {
      const key = mechanisms.tagKey ? newTagKey() : new Uint32Array(HASH_KEY_WORDS);
      meta.put(KEY, bytesOfHashes(key));
      onNewKey?.(new TagHasher(key));
    }
    meta.put('reserved', wide(above));
    meta.put('base', wide(above));
  });
  return { key: tagKeyOfBytes(meta.get(KEY)!), sequence: above, base: above };
}

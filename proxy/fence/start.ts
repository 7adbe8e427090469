import { HASH_KEY_WORDS, type HashKey } from '../threads/keyed-hash.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { StateStore } from '../state/state-store.ts';
import { readNumber, wide } from './rows.ts';
import { bytesOfHashes, newTagKey, TagHasher, tagKeyOfBytes } from './tag-hash.ts';

const KEY = 'tag-key';

export interface StartDependencies {
  readonly state: StateStore;
  /** Called within the change that gives the state a key, to rehash the tags in other tables. */
  readonly onNewKey?: (hasher: TagHasher) => void;
  /** True: invalidate everything that earlier runs have stored. */
  readonly distrust?: boolean;
}

/** The start values of the fence in this run. `sequence` and `base` are those of `FenceStart`. */
interface StartingPoint {
  /** The key of the tag hashes. */
  readonly key: HashKey;
  readonly sequence: number;
  readonly base: number;
}

/**
 * Reads the start values from the state. If the state has no key, its records have unkeyed hashes; if it is distrusted,
 * its records may be incomplete. In both cases the records are removed, and the base is raised above every floor, which
 * invalidates everything stored.
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
  // This is above every floor that an earlier run has used.
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

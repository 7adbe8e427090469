import { ALL_TAG } from '../../../policies/tags.ts';
import type { TagHasher, TagHashes } from '../../fence/tag-hash.ts';
import type { StateStore } from '../../state/state-store.ts';
import { readHoldRow, waitingHoldKey, writeHoldRow } from './hold-rows.ts';
import { JournalTables } from './tables.ts';

/**
 * Within a change of the state: hashes anew what holds of earlier runs hold, as the state has got a key. A row has no
 * names: a write of the journal has them in its record, and any other hold is one of everything for as long as it lasts.
 */
export function rekeyHolds(state: StateStore, hasher: TagHasher): void {
  const holds = state.table('holds');
  const tables = new JournalTables(state);
  const everything = hasher.hash([ALL_TAG]);
  const tagsOf = (key: Buffer): TagHashes => {
    const number = Number(key.readBigUInt64BE(1));
    if (!key.equals(waitingHoldKey(number))) return everything;
    const read = tables.record('waiting', number) ?? tables.record('dead', number);
    return read?.kind === 'record' ? hasher.hash(read.record.tags) : everything;
  };
  // Read to the end before the first is written.
  const rows = Array.from(holds.range());
  for (const { key, value } of rows) {
    writeHoldRow(holds, key, { ...readHoldRow(value), tags: tagsOf(key) });
  }
}

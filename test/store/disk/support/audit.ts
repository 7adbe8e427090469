/** Checks that the tables of a cache agree with each other. */
import type { Tables } from '../../../../proxy/store/disk/environment.ts';
import { chunkCount, contentKind, idOf, numberKey, numberOf } from '../../../../proxy/store/disk/format.ts';
import { headOf, isSound, summaryOf } from '../../../../proxy/store/disk/record.ts';
import { openRow } from '../../../../proxy/store/disk/row.ts';

/**
 * Every disagreement, in words; none where each row has its records, each record, piece, update and chunk belongs to a
 * row or is to be deleted, and the total is right.
 */
export function audit(tables: Tables): string[] {
  const faults: string[] = [];
  const claimed = { records: new Set<number>(), pieces: new Set<number>(), updates: new Set<string>() };
  const chunked = new Map<string, number>();
  let bytes = 0;
  for (const { key: digest, value } of tables.rows.getRange({})) {
    const row = openRow(digest, value);
    if (row === null || row.length === 0) faults.push(`row ${digest.toString('hex')} is damaged or empty`);
    for (const { id, number, sizeBytes, isUpdated } of row ?? []) {
      const record = tables.records.get(numberKey(number));
      const isOwn = record !== undefined && isSound(record) && summaryOf(record).id === id;
      if (!isOwn) faults.push(`entry ${id} has no record ${number}`);
      else if (!summaryOf(record).digest.equals(digest)) faults.push(`record ${number} is of another row`);
      else if (summaryOf(record).sizeBytes !== sizeBytes) faults.push(`record ${number} is of another size`);
      claimed.records.add(number);
      if (contentKind(sizeBytes) === 'piece') claimed.pieces.add(number);
      if (contentKind(sizeBytes) === 'chunks') chunked.set(id, chunkCount(sizeBytes));
      if (isUpdated) claimed.updates.add(id);
      bytes += sizeBytes;
    }
  }
  for (const key of tables.records.getKeys({})) {
    if (!claimed.records.delete(numberOf(key))) faults.push(`record ${numberOf(key)} has no row`);
  }
  for (const key of tables.pieces.getKeys({})) {
    if (!claimed.pieces.delete(numberOf(key))) faults.push(`piece ${numberOf(key)} has no row`);
  }
  for (const { key, value } of tables.updates.getRange({})) {
    if (!claimed.updates.delete(idOf(key))) faults.push(`update ${idOf(key)} has no row`);
    if (!isSound(value) || headOf(value).id !== idOf(key)) faults.push(`update ${idOf(key)} is damaged`);
  }
  const orphans = new Set(Array.from(tables.orphans.getKeys({}), (key) => idOf(key)));
  for (const key of tables.chunks.getKeys({})) {
    const id = idOf(key);
    const left = chunked.get(id);
    if (left !== undefined) chunked.set(id, left - 1);
    else if (!orphans.has(id)) faults.push(`chunk of ${id} has no row and is not to be deleted`);
  }
  for (const id of orphans)
    if (chunked.has(id)) faults.push(`entry ${id} is whole and its chunks are to be deleted`);
  for (const [id, left] of chunked) if (left !== 0) faults.push(`entry ${id} lacks ${left} chunks`);
  faults.push(...[...claimed.pieces].map((number) => `piece ${number} is missing`));
  faults.push(...[...claimed.updates].map((id) => `update ${id} is missing`));
  const total = tables.about.get(Buffer.from('bytes'))?.readDoubleLE(0) ?? 0;
  if (total !== bytes) faults.push(`the total is ${total}, not ${bytes}`);
  return faults;
}

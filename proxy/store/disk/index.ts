/**
 * Changes the records of an entry together: head, place, recency and orphaned chunks. Its functions run inside a write
 * transaction of the one writer, where reads see what the transaction has written, unless they say otherwise.
 */
import { countRecords, type Tables } from './environment.ts';
import {
  chunkKey,
  headKey,
  idKey,
  idOf,
  lookupOf,
  openHead,
  openPlace,
  RECENCY_ID_OFFSET,
  RECENCY_LAST,
  recencyKey,
  usedAtOf,
  sealChunk,
  SEALED_CHUNK_BYTES,
  sealHead,
  sealPlace,
  variantRange,
  type EntryPlace,
  type StoredHead,
} from './format.ts';

const PRESENT = Buffer.from([1]);
const TOTAL_BYTES = Buffer.from('bytes');

export class DiskIndex {
  /** Content bytes of all entries, as of the last commit or within the running transaction. */
  bytes: number;
  /** Records that failed their checksum. */
  corrupt = 0;

  readonly #tables: Tables;
  readonly #scratch = Buffer.allocUnsafe(SEALED_CHUNK_BYTES);

  constructor(tables: Tables) {
    this.#tables = tables;
    this.bytes = tables.about.get(TOTAL_BYTES)?.readDoubleLE(0) ?? 0;
  }

  get entries(): number {
    return countRecords(this.#tables.places);
  }

  /** The chunks are orphaned until `insert`. */
  putChunk(id: string, index: number, bytes: Uint8Array): void {
    if (index === 0) this.#tables.orphans.putSync(idKey(id), PRESENT);
    const key = chunkKey(id, index);
    this.#tables.chunks.putSync(key, sealChunk(key, bytes, this.#scratch));
  }

  insert(stored: StoredHead): void {
    const { head, storedAtMs } = stored;
    const lookup = lookupOf(head.key);
    const place = { evictLast: head.evictLast, usedAtMs: storedAtMs, lookup, sizeBytes: head.sizeBytes };
    const key = headKey(lookup, head.id);
    this.#tables.heads.putSync(key, sealHead(key, stored));
    this.#tables.places.putSync(idKey(head.id), sealPlace(place));
    this.#tables.recency.putSync(recencyKey(head.id, place), PRESENT);
    this.#tables.orphans.removeSync(idKey(head.id));
    this.#addBytes(head.sizeBytes);
  }

  /** Changes the head of an entry; its id, key, size and `evictLast` must stay. */
  replaceHead(stored: StoredHead): void {
    const key = headKey(lookupOf(stored.head.key), stored.head.id);
    this.#tables.heads.putSync(key, sealHead(key, stored));
  }

  find(id: string, key: string): StoredHead | null {
    const recordKey = headKey(lookupOf(key), id);
    const record = this.#tables.heads.get(recordKey);
    if (record === undefined) return null;
    const stored = openHead(recordKey, record);
    if (stored === null) this.corrupt += 1;
    return stored?.head.key === key ? stored : null;
  }

  /** Every entry of a primary key. Removes those whose head is damaged. */
  variants(key: string): StoredHead[] {
    const variants: StoredHead[] = [];
    const records = Array.from(this.#tables.heads.getRange(variantRange(lookupOf(key))));
    for (const record of records) {
      const stored = openHead(record.key, record.value);
      if (stored === null) {
        this.corrupt += 1;
        this.remove(idOf(record.key, record.key.length - 8));
        this.#tables.heads.removeSync(record.key);
      } else if (stored.head.key === key) variants.push(stored);
    }
    return variants;
  }

  /** Removes an entry, so that nobody finds it, and orphans its chunks. Null: there is none of that id. */
  remove(id: string): EntryPlace | null {
    const place = this.#place(id);
    if (place === null) return null;
    this.#tables.heads.removeSync(headKey(place.lookup, id));
    this.#tables.recency.removeSync(recencyKey(id, place));
    this.#tables.places.removeSync(idKey(id));
    this.#tables.orphans.putSync(idKey(id), PRESENT);
    this.#addBytes(-place.sizeBytes);
    return place;
  }

  /** Notes a use in the order of eviction. False where the entry is gone, or was moved less than `afterMs` ago. */
  touch(id: string, nowMs: number, afterMs: number): boolean {
    const place = this.#place(id);
    if (place === null || nowMs - place.usedAtMs < afterMs) return false;
    const moved = { ...place, usedAtMs: nowMs };
    this.#tables.recency.removeSync(recencyKey(id, place));
    this.#tables.recency.putSync(recencyKey(id, moved), PRESENT);
    this.#tables.places.putSync(idKey(id), sealPlace(moved));
    return true;
  }

  /** Whether `touch` would move the entry. Outside a transaction. */
  isWorthTouching(id: string, nowMs: number, afterMs: number): boolean {
    const place = this.#place(id);
    return place !== null && nowMs - place.usedAtMs >= afterMs;
  }

  /** Removes the entry that is first in the order of eviction, unless it is of `evict: last`. Null: there is none. */
  evict(): { readonly id: string; readonly sizeBytes: number } | null {
    for (const key of this.#tables.recency.getKeys({ end: RECENCY_LAST, limit: 1 })) {
      const id = idOf(key, RECENCY_ID_OFFSET);
      const place = this.remove(id);
      // Where the place is damaged this record is left, and the next call would find it again.
      if (place === null) this.#tables.recency.removeSync(key);
      return { id, sizeBytes: place?.sizeBytes ?? 0 };
    }
    return null;
  }

  /** The latest time in the order of eviction, in milliseconds; 0: there are no entries. Outside a transaction. */
  newestUseMs(): number {
    const newest = [{}, { start: RECENCY_LAST }].flatMap((range) =>
      Array.from(this.#tables.recency.getKeys({ ...range, reverse: true, limit: 1 }), usedAtOf),
    );
    return Math.max(0, ...newest);
  }

  /** Which entries could be evicted: some, only those of `evict: last`, or none. Outside a transaction. */
  rank(): 'normal' | 'last' | 'none' {
    for (const key of this.#tables.recency.getKeys({ limit: 1 })) {
      return key.compare(RECENCY_LAST) < 0 ? 'normal' : 'last';
    }
    return 'none';
  }

  /** Deletes at most `limit` orphaned chunks of an id. True: none are left. */
  sweep(id: string, limit: number): boolean {
    const range = { start: chunkKey(id, 0), end: chunkKey(id, 0xffff_ffff), limit };
    const keys = Array.from(this.#tables.chunks.getKeys(range));
    for (const key of keys) this.#tables.chunks.removeSync(key);
    if (keys.length === limit) return false;
    this.#tables.orphans.removeSync(idKey(id));
    return true;
  }

  /** All ids with orphaned chunks; at a start those of entries that a crash left incomplete or half removed. */
  orphans(): string[] {
    return Array.from(this.#tables.orphans.getKeys({}), (key) => idOf(key));
  }

  /** Writes without a change: after one more transaction LMDB can reuse the pages that the last one freed. */
  tick(): void {
    this.#addBytes(0);
  }

  /** To be called after a transaction has failed: goes back to what is committed. */
  reload(): void {
    this.bytes = this.#tables.about.get(TOTAL_BYTES)?.readDoubleLE(0) ?? 0;
  }

  #place(id: string): EntryPlace | null {
    const record = this.#tables.places.get(idKey(id));
    return record === undefined ? null : openPlace(record);
  }

  #addBytes(change: number): void {
    this.bytes += change;
    const record = Buffer.allocUnsafe(8);
    record.writeDoubleLE(this.bytes, 0);
    this.#tables.about.putSync(TOTAL_BYTES, record);
  }
}

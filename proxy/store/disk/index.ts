/**
 * The records of all entries, kept in step: head, place, recency and debris change together. All of it runs inside a
 * write transaction of the one writer, where reads see what the transaction has written.
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
  /** Content bytes of all entries, as of the last commit or within the transaction that runs. */
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

  putChunk(id: string, index: number, bytes: Uint8Array): void {
    if (index === 0) this.#tables.debris.putSync(idKey(id), PRESENT);
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
    this.#tables.debris.removeSync(idKey(head.id));
    this.#addBytes(head.sizeBytes);
  }

  /** The same entry with other words about it; its id, key, size and rank stay. */
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

  /** Every entry of a primary key. Those whose head can't be read are removed on the way. */
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

  /** Removes the head, so that nobody finds the entry; its chunks become debris. */
  remove(id: string): EntryPlace | null {
    const place = this.#place(id);
    if (place === null) return null;
    this.#tables.heads.removeSync(headKey(place.lookup, id));
    this.#tables.recency.removeSync(recencyKey(id, place));
    this.#tables.places.removeSync(idKey(id));
    this.#tables.debris.putSync(idKey(id), PRESENT);
    this.#addBytes(-place.sizeBytes);
    return place;
  }

  /** Moves an entry behind what was used before it. False where it is gone, or was moved less than `afterMs` ago. */
  touch(id: string, nowMs: number, afterMs: number): boolean {
    const place = this.#place(id);
    if (place === null || nowMs - place.usedAtMs < afterMs) return false;
    const moved = { ...place, usedAtMs: nowMs };
    this.#tables.recency.removeSync(recencyKey(id, place));
    this.#tables.recency.putSync(recencyKey(id, moved), PRESENT);
    this.#tables.places.putSync(idKey(id), sealPlace(moved));
    return true;
  }

  /** Whether `touch` would move it; outside a transaction. */
  isWorthTouching(id: string, nowMs: number, afterMs: number): boolean {
    const place = this.#place(id);
    return place !== null && nowMs - place.usedAtMs >= afterMs;
  }

  /** Removes the entry that was not used for longest, those that go last apart; null where there is none. */
  evict(): { readonly id: string; readonly sizeBytes: number } | null {
    for (const key of this.#tables.recency.getKeys({ end: RECENCY_LAST, limit: 1 })) {
      const id = idOf(key, RECENCY_ID_OFFSET);
      const place = this.remove(id);
      // A place that can't be read leaves this behind; without it the next call would find it again.
      if (place === null) this.#tables.recency.removeSync(key);
      return { id, sizeBytes: place?.sizeBytes ?? 0 };
    }
    return null;
  }

  /** The latest moment under which an entry stands in the order of eviction; 0: there is none. */
  newestUseMs(): number {
    const newest = [{}, { start: RECENCY_LAST }].flatMap((range) =>
      Array.from(this.#tables.recency.getKeys({ ...range, reverse: true, limit: 1 }), usedAtOf),
    );
    return Math.max(0, ...newest);
  }

  /** Which entries there are to evict: any, or only such as go last. */
  rank(): 'normal' | 'last' | 'none' {
    for (const key of this.#tables.recency.getKeys({ limit: 1 })) {
      return key.compare(RECENCY_LAST) < 0 ? 'normal' : 'last';
    }
    return 'none';
  }

  /** Deletes at most `limit` chunks of a piece of debris. True: that was the last of it. */
  sweep(id: string, limit: number): boolean {
    const range = { start: chunkKey(id, 0), end: chunkKey(id, 0xffff_ffff), limit };
    const keys = Array.from(this.#tables.chunks.getKeys(range));
    for (const key of keys) this.#tables.chunks.removeSync(key);
    if (keys.length === limit) return false;
    this.#tables.debris.removeSync(idKey(id));
    return true;
  }

  /** Ids of all debris; at a start, of fills that a crash cut off and of removals that were not finished. */
  debris(): string[] {
    return Array.from(this.#tables.debris.getKeys({}), (key) => idOf(key));
  }

  /** A transaction that changes nothing anybody sees, for the sake of the one before it. */
  tick(): void {
    this.#addBytes(0);
  }

  /** After a transaction was given up: back to what is committed. */
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

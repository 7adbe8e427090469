/**
 * Changes the records of an entry together: row, record, content, update and orphaned chunks. Its functions run inside a
 * write transaction of the one writer, where reads see what the transaction has written, unless they say otherwise.
 */
import type { EntryHead } from '../entry-head.ts';
import { countRecords, type Tables } from './environment.ts';
import {
  chunkKey,
  contentKind,
  digestOf,
  FIRST_LAST_NUMBER,
  idKey,
  idOf,
  numberKey,
  numberOf,
  openChunk,
  sealChunk,
  SEALED_CHUNK_BYTES,
} from './format.ts';
import { claimedDigest, headOf, isSound, sealed, summaryOf, type RecordSummary } from './record.ts';
import { openRow, sealRow, type Variant } from './row.ts';
import type { StoredDigests } from './stored-digests.ts';
import type { UsedEntries } from './used-entries.ts';

const PRESENT = Buffer.from([1]);
const TOTAL_BYTES = Buffer.from('bytes');
const HAND = Buffer.from('hand');

/** An entry that was removed; nobody finds it. */
export interface Removed {
  readonly id: string;
  readonly sizeBytes: number;
}

/** A variant of a key with its head as it stands now. */
export interface StoredVariant {
  readonly number: number;
  readonly head: EntryHead;
}

interface NumberedRecord {
  readonly number: number;
  readonly value: Buffer;
}

/** What one step of eviction came to: an entry removed, one kept because it was used, or no entry to look at. */
export type EvictionStep = Removed | 'kept' | 'none';

export class DiskIndex {
  /** Content bytes of all entries, as of the last commit or within the running transaction. */
  bytes: number;
  /** Records that failed their checksum. */
  corrupt = 0;

  readonly #tables: Tables;
  readonly #used: UsedEntries;
  readonly #digests: StoredDigests;
  readonly #scratch = Buffer.allocUnsafe(SEALED_CHUNK_BYTES);
  /** The numbers of the next records. */
  #next: number;
  #nextLast: number;
  /** Eviction looks at the entry with this number next, or at the one after it. */
  #hand: number;
  #isChanged = false;
  /** Digests of entries that the running transaction has added and removed. */
  #added: Buffer[] = [];
  #removed: Buffer[] = [];

  constructor(tables: Tables, used: UsedEntries, digests: StoredDigests) {
    this.#tables = tables;
    this.#used = used;
    this.#digests = digests;
    this.bytes = this.#about(TOTAL_BYTES) ?? this.#countBytes();
    this.#hand = this.#about(HAND) ?? 0;
    this.#next = (this.#newest(FIRST_LAST_NUMBER - 1) ?? 0) + 1;
    this.#nextLast = Math.max(FIRST_LAST_NUMBER, (this.#newest(Number.MAX_SAFE_INTEGER) ?? 0) + 1);
  }

  get entries(): number {
    return countRecords(this.#tables.records);
  }

  /** The chunks are orphaned until `insert`. */
  putChunk(id: string, index: number, bytes: Uint8Array): void {
    if (index === 0) this.#tables.orphans.putSync(idKey(id), PRESENT);
    const key = chunkKey(id, index);
    this.#tables.chunks.putSync(key, sealChunk(key, bytes, this.#scratch));
  }

  /** Adds an entry to the row of its key. `entry`: as `seal` wrote it, with content unless that is in chunks. */
  insert(entry: Buffer, summary: RecordSummary): void {
    const { id, digest, recordBytes, floor, sizeBytes, possiblyStale, evictLast } = summary;
    const number = evictLast ? this.#nextLast++ : this.#next++;
    const key = numberKey(number);
    this.#tables.records.putSync(key, entry.subarray(0, recordBytes));
    const kind = contentKind(sizeBytes);
    if (kind === 'piece') this.#tables.pieces.putSync(key, entry.subarray(recordBytes));
    if (kind === 'chunks') this.#tables.orphans.removeSync(idKey(id));
    const variant = { id, number, floor, sizeBytes, possiblyStale, isUpdated: false };
    this.#tables.rows.putSync(digest, sealRow(digest, [...this.#row(digest), variant]));
    this.#added.push(digest);
    this.#addBytes(sizeBytes);
  }

  /** Changes the head of an entry; its id, key, size and `evictLast` must stay. */
  replaceHead(head: EntryHead): void {
    const digest = digestOf(head.key);
    const { id, floor, possiblyStale } = head;
    const row = this.#row(digest);
    const at = row.findIndex((variant) => variant.id === id);
    if (at < 0) return;
    row[at] = { ...row[at]!, floor, possiblyStale, isUpdated: true };
    this.#tables.rows.putSync(digest, sealRow(digest, row));
    // Without content: whatever the size says, the record of an update has none.
    this.#tables.updates.putSync(idKey(id), sealed(head, [], 0));
  }

  find(id: string, key: string): EntryHead | null {
    const variant = this.#row(digestOf(key)).find((each) => each.id === id);
    return variant === undefined ? null : this.#head(variant, key);
  }

  /** Whether there are entries of a key. */
  hasRow(digest: Buffer): boolean {
    return this.#tables.rows.get(digest) !== undefined;
  }

  /** The head of a sound record as it stands now; null: it is damaged, or its row lacks it. Outside a transaction. */
  current(record: Buffer): EntryHead | null {
    const { id, digest } = summaryOf(record);
    const variant = this.#row(digest).find((each) => each.id === id);
    if (variant === undefined) return null;
    return variant.isUpdated
      ? this.#head(variant, headOf(record).key)
      : this.#latest(headOf(record), variant);
  }

  /** Every entry of a primary key, in the order of storing. Removes those whose record is damaged. */
  variants(key: string): {
    readonly variants: readonly StoredVariant[];
    readonly damaged: readonly Removed[];
  } {
    const digest = digestOf(key);
    const variants: StoredVariant[] = [];
    const damaged: Removed[] = [];
    for (const variant of this.#row(digest)) {
      const head = this.#head(variant, key);
      if (head !== null) variants.push({ number: variant.number, head });
      else damaged.push(...this.#remove(digest, variant.id));
    }
    return { variants, damaged };
  }

  /** Removes an entry, so that nobody finds it, and orphans its chunks. None: there is none of that id. */
  remove(id: string, key: string): Removed[] {
    return this.#remove(digestOf(key), id);
  }

  /**
   * Looks at the entry that is next in the order of eviction: the one stored first of those that it has not passed yet.
   * It stays where it was used since eviction last passed it. Entries of `evict: last` are never looked at.
   */
  evict(): EvictionStep {
    const record = this.#nextToEvict(this.#hand) ?? this.#nextToEvict(0);
    if (record === null) return 'none';
    this.#setHand(record.number + 1);
    if (!isSound(record.value)) return this.#evictDamaged(record);
    const { id, digest, sizeBytes } = summaryOf(record.value);
    if (this.#used.take(id)) return 'kept';
    const [removed] = this.#remove(digest, id);
    if (removed !== undefined) return removed;
    // Its row is damaged or gone, and with it whether there is an update.
    this.#tables.updates.removeSync(idKey(id));
    this.#dropRecord(record.number);
    this.#leave(id, sizeBytes);
    return { id, sizeBytes };
  }

  /**
   * The record does not say any more whose it is, but the row that its digest names does, where it has this number.
   * Otherwise the row keeps the variant until somebody asks for its key.
   */
  #evictDamaged({ number, value }: NumberedRecord): Removed {
    this.corrupt += 1;
    const digest = claimedDigest(value);
    const variant = digest === null ? undefined : this.#row(digest).find((each) => each.number === number);
    const [removed] = digest === null || variant === undefined ? [] : this.#remove(digest, variant.id);
    this.#dropRecord(number);
    return removed ?? { id: '', sizeBytes: 0 };
  }

  /** Which entries could be evicted: some, only those of `evict: last`, or none. Outside a transaction. */
  rank(): 'normal' | 'last' | 'none' {
    for (const key of this.#tables.records.getKeys({ limit: 1 })) {
      return numberOf(key) < FIRST_LAST_NUMBER ? 'normal' : 'last';
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
    this.#isChanged = true;
  }

  /** To be called at the end of each transaction. */
  saveTotals(): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    this.#setAbout(TOTAL_BYTES, this.bytes);
    this.#setAbout(HAND, this.#hand);
  }

  /** To be called after each transaction that was committed. */
  committed(): void {
    for (const digest of this.#added) this.#digests.inserted(digest);
    for (const digest of this.#removed) this.#digests.removed(digest);
    this.#added = [];
    this.#removed = [];
  }

  /** To be called after a transaction has failed: goes back to what is committed. */
  reload(): void {
    this.#isChanged = false;
    this.#added = [];
    this.#removed = [];
    this.bytes = this.#about(TOTAL_BYTES) ?? this.#countBytes();
    this.#hand = this.#about(HAND) ?? 0;
  }

  /** Empty where there is no row, or where it is damaged. */
  #row(digest: Buffer): Variant[] {
    const bytes = this.#tables.rows.get(digest);
    if (bytes === undefined) return [];
    const row = openRow(digest, bytes);
    if (row === null) this.corrupt += 1;
    return row ?? [];
  }

  /** Null where a record is missing, damaged, or of another key. */
  #head(variant: Variant, key: string): EntryHead | null {
    const { updates, records } = this.#tables;
    const record = variant.isUpdated
      ? updates.get(idKey(variant.id))
      : records.get(numberKey(variant.number));
    if (record === undefined || !isSound(record)) {
      this.corrupt += 1;
      return null;
    }
    const head = headOf(record);
    if (head.id !== variant.id || head.key !== key) return null;
    return this.#latest(head, variant);
  }

  #latest(head: EntryHead, { floor, possiblyStale }: Variant): EntryHead {
    return { ...head, floor, possiblyStale };
  }

  #remove(digest: Buffer, id: string): Removed[] {
    const row = this.#row(digest);
    const variant = row.find((each) => each.id === id);
    if (variant === undefined) {
      // Nobody finds anything by a damaged row.
      if (row.length === 0) this.#tables.rows.removeSync(digest);
      return [];
    }
    const others = row.filter((each) => each !== variant);
    if (others.length === 0) this.#tables.rows.removeSync(digest);
    else this.#tables.rows.putSync(digest, sealRow(digest, others));
    this.#removed.push(digest);
    if (variant.isUpdated) this.#tables.updates.removeSync(idKey(id));
    this.#dropRecord(variant.number);
    this.#leave(id, variant.sizeBytes);
    return [{ id, sizeBytes: variant.sizeBytes }];
  }

  #dropRecord(number: number): void {
    const key = numberKey(number);
    this.#tables.records.removeSync(key);
    this.#tables.pieces.removeSync(key);
  }

  /** Notes that an entry's content is no longer counted, and that its chunks are orphaned. */
  #leave(id: string, sizeBytes: number): void {
    if (contentKind(sizeBytes) === 'chunks') this.#tables.orphans.putSync(idKey(id), PRESENT);
    this.#addBytes(-sizeBytes);
  }

  #nextToEvict(from: number): NumberedRecord | null {
    const range = { start: numberKey(from), end: numberKey(FIRST_LAST_NUMBER), limit: 1 };
    for (const { key, value } of this.#tables.records.getRange(range)) {
      return { number: numberOf(key), value };
    }
    return null;
  }

  /** The highest number of a record up to `end`. */
  #newest(end: number): number | null {
    const range = { start: numberKey(end), reverse: true, limit: 1 };
    for (const key of this.#tables.records.getKeys(range)) return numberOf(key);
    return null;
  }

  #setHand(number: number): void {
    this.#hand = number;
    this.#isChanged = true;
  }

  #addBytes(change: number): void {
    this.bytes += change;
    this.#isChanged = true;
  }

  #countBytes(): number {
    let bytes = 0;
    for (const { key, value } of this.#tables.rows.getRange({})) {
      for (const { sizeBytes } of openRow(key, value) ?? []) bytes += sizeBytes;
    }
    return bytes;
  }

  /** Null where it is missing or its checksum is wrong. */
  #about(key: Buffer): number | null {
    const sealedValue = this.#tables.about.get(key);
    const value = sealedValue === undefined ? null : openChunk(key, sealedValue);
    return value?.length === 8 ? Buffer.from(value).readDoubleLE(0) : null;
  }

  #setAbout(key: Buffer, value: number): void {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleLE(value, 0);
    this.#tables.about.putSync(key, sealChunk(key, bytes, this.#scratch));
  }
}

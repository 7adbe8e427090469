/**
 * The disk tier as a worker sees it: synchronous reads of what the coordinator has committed. The writer must have
 * opened the cache before, in the same process.
 *
 * Each lookup opens a snapshot of its own and closes it, so that row, record and content are of one moment. lmdb by
 * itself closes it with a timer, which fires late in a thread that gets little processor time; meanwhile LMDB reuses no
 * page that the writer frees, and the file grows.
 */
import { crc32 } from 'node:zlib';
import { isPanic } from '../../state/lmdb-panic.ts';
import type { DiskEntry } from '../disk-tier.ts';
import type { EntryHead } from '../entry-head.ts';
import { openForReading, peek, type Tables } from './environment.ts';
import { chunkKey, contentKind, digestOf, idKey, numberKey, openChunk } from './format.ts';
import { headOf, inlineContent, isSound, summaryOf } from './record.ts';
import { openRow, type Variant } from './row.ts';

export interface DiskReader {
  /**
   * Every variant of a primary key, in the order of storing. Content in record or piece comes along where there is one
   * variant: a copy.
   */
  find(key: string): DiskEntry[];
  /** As `find`, without content. */
  heads(key: string): EntryHead[];
  /** A copy of an entry's content in record or piece; null where it is missing, damaged, or lies in chunks. */
  content(key: string, id: string): Uint8Array | null;
  /** A copy of a chunk's content; null where it is missing or damaged. */
  chunk(id: string, index: number): Uint8Array | null;
  close(): Promise<void>;
  readonly counters: {
    /** Records that failed their checksum, or were missing though a row has them. */
    readonly corrupt: number;
  };
}

export type DiskReaderOpening =
  | { readonly kind: 'open'; readonly reader: DiskReader }
  | { readonly kind: 'failed'; readonly reason: string };

/** `onDamaged`: called with an entry whose record or content is missing or damaged. */
export function openDiskReader(options: {
  readonly path: string;
  readonly onDamaged?: (key: string, id: string) => void;
}): DiskReaderOpening {
  const { path, onDamaged = () => {} } = options;
  try {
    return { kind: 'open', reader: new LmdbReader(openForReading(path), onDamaged) };
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

class LmdbReader implements DiskReader {
  readonly counters = { corrupt: 0 };
  readonly #tables: Tables;
  readonly #onDamaged: (key: string, id: string) => void;
  #isDead = false;

  constructor(tables: Tables, onDamaged: (key: string, id: string) => void) {
    this.#tables = tables;
    this.#onDamaged = onDamaged;
  }

  find(key: string): DiskEntry[] {
    return this.#read(NO_ENTRIES, () => {
      const row = this.#row(key);
      return row.flatMap((variant) => this.#entry(key, variant, row.length === 1) ?? []);
    });
  }

  heads(key: string): EntryHead[] {
    return this.#read(NO_HEADS, () =>
      this.#row(key).flatMap((variant) => this.#entry(key, variant, false)?.head ?? []),
    );
  }

  content(key: string, id: string): Uint8Array | null {
    return this.#read(null, () => {
      const variant = this.#row(key).find((each) => each.id === id);
      return variant === undefined ? null : (this.#entry(key, variant, true)?.content ?? null);
    });
  }

  chunk(id: string, index: number): Uint8Array | null {
    return this.#read(null, () => {
      const key = chunkKey(id, index);
      // Not `peek`, whose memory the next read changes.
      const sealed = this.#tables.chunks.getBinary(key);
      if (sealed === undefined) return null;
      const bytes = openChunk(key, sealed);
      if (bytes === null) this.counters.corrupt += 1;
      return bytes;
    });
  }

  async close(): Promise<void> {
    await this.#tables.root.close();
  }

  #row(key: string): readonly Variant[] {
    const digest = digestOf(key);
    const bytes = peek(this.#tables.rows, digest);
    if (bytes === null) return NO_VARIANTS;
    const row = openRow(digest, bytes);
    if (row === null) this.counters.corrupt += 1;
    return row ?? NO_VARIANTS;
  }

  /** Null where the entry is of another key, or where a part of it is missing or damaged. */
  #entry(key: string, variant: Variant, withContent: boolean): DiskEntry | null {
    const { id, number, floor, possiblyStale, isUpdated, sizeBytes } = variant;
    const recordKey = numberKey(number);
    const record = peek(this.#tables.records, recordKey);
    if (record === null || !isSound(record)) return this.#damaged(key, id);
    const { id: ownId, contentChecksum } = summaryOf(record);
    if (ownId !== id) return this.#damaged(key, id);
    const inline = withContent ? inlineContent(record) : null;
    // Copied before the next read, which changes the record's memory.
    let content = inline === null ? null : copyOf(inline);
    let head = isUpdated ? null : headOf(record);
    if (withContent && contentKind(sizeBytes) === 'piece') {
      content = this.#piece(recordKey, sizeBytes, contentChecksum);
      if (content === null) return this.#damaged(key, id);
    }
    if (head === null) {
      const update = peek(this.#tables.updates, idKey(id));
      if (update === null || !isSound(update)) return this.#damaged(key, id);
      head = headOf(update);
      if (head.id !== id) return this.#damaged(key, id);
    }
    if (head.key !== key) return null;
    return { head: { ...head, floor, possiblyStale }, content };
  }

  #piece(recordKey: Buffer, sizeBytes: number, checksum: number): Uint8Array | null {
    const piece = peek(this.#tables.pieces, recordKey);
    if (piece === null || piece.length !== sizeBytes) return null;
    const content = copyOf(piece);
    return crc32(content) === checksum ? content : null;
  }

  #damaged(key: string, id: string): null {
    this.counters.corrupt += 1;
    this.#onDamaged(key, id);
    return null;
  }

  #read<Result>(none: Result, read: () => Result): Result {
    if (this.#isDead) return none;
    try {
      return read();
    } catch (error) {
      // LMDB has found its own tree damaged, which counts as a wrong checksum, or it refuses everything from now on.
      this.counters.corrupt += 1;
      this.#isDead = isPanic(error);
      return none;
    } finally {
      if (!this.#isDead) this.#tables.root.resetReadTxn();
    }
  }
}

const NO_VARIANTS: readonly Variant[] = [];
const NO_ENTRIES: DiskEntry[] = [];
const NO_HEADS: EntryHead[] = [];

/** In memory of its own size, which `Buffer.from` would share with others. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength);
  copy.set(bytes);
  return copy;
}

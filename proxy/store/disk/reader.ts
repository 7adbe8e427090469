/**
 * The disk tier as a worker sees it: synchronous reads of what the coordinator has committed. The writer must have
 * opened the cache before, in the same process.
 *
 * Each read opens a snapshot of its own and closes it. lmdb by itself closes it with a timer, which fires late in a
 * thread that gets little processor time; meanwhile LMDB reuses no page that the writer frees, and the file grows.
 */
import { isPanic } from '../../state/lmdb-panic.ts';
import type { EntryHead } from '../entry-head.ts';
import { openForReading, type Tables } from './environment.ts';
import { chunkKey, lookupOf, openChunk, openHead, variantRange } from './format.ts';

export interface DiskReader {
  /** Every variant of a primary key. */
  heads(key: string): EntryHead[];
  /** A copy of a chunk's content; null where it is missing or damaged. */
  chunk(id: string, index: number): Uint8Array | null;
  close(): Promise<void>;
  readonly counters: {
    /** Records that failed their checksum. */
    readonly corrupt: number;
  };
}

export type DiskReaderOpening =
  | { readonly kind: 'open'; readonly reader: DiskReader }
  | { readonly kind: 'failed'; readonly reason: string };

export function openDiskReader({ path }: { readonly path: string }): DiskReaderOpening {
  try {
    return { kind: 'open', reader: new LmdbReader(openForReading(path)) };
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

class LmdbReader implements DiskReader {
  readonly counters = { corrupt: 0 };
  readonly #tables: Tables;
  #isDead = false;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  heads(key: string): EntryHead[] {
    const heads: EntryHead[] = [];
    if (this.#isDead) return heads;
    try {
      for (const record of this.#tables.heads.getRange(variantRange(lookupOf(key)))) {
        const stored = openHead(record.key, record.value);
        if (stored === null) this.counters.corrupt += 1;
        else if (stored.head.key === key) heads.push(stored.head);
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#endSnapshot();
    }
    return heads;
  }

  chunk(id: string, index: number): Uint8Array | null {
    if (this.#isDead) return null;
    const key = chunkKey(id, index);
    try {
      // Not `getBinaryFast`, whose buffer the next read overwrites.
      const sealed = this.#tables.chunks.getBinary(key);
      if (sealed === undefined) return null;
      const bytes = openChunk(key, sealed);
      if (bytes === null) this.counters.corrupt += 1;
      return bytes;
    } catch (error) {
      this.#failed(error);
      return null;
    } finally {
      this.#endSnapshot();
    }
  }

  async close(): Promise<void> {
    await this.#tables.root.close();
  }

  #endSnapshot(): void {
    if (!this.#isDead) this.#tables.root.resetReadTxn();
  }

  /** LMDB has found its own tree damaged, which counts as a wrong checksum, or it refuses everything from now on. */
  #failed(error: unknown): void {
    this.counters.corrupt += 1;
    this.#isDead ||= isPanic(error);
  }
}

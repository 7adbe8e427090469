import type { EntryHead } from './entry-head.ts';

/** `sizeBytes`: -1 while it is not known yet. */
export type ContentOnDisk = Pick<EntryHead, 'id' | 'key' | 'sizeBytes'>;

/** An entry that was found on disk. `content`: null where it did not come along; `read` reads it. */
export interface DiskEntry {
  readonly head: EntryHead;
  readonly content: Uint8Array | null;
}

/** The disk tier as a worker's request path uses it. Reads are synchronous; writes go to the coordinator. */
export interface DiskTier {
  /** Every variant of a primary key, on disk or under way, with content where one read brings both. */
  find(key: string): DiskEntry[];
  /** Every variant of a primary key that is on disk. */
  heads(key: string): EntryHead[];
  /** Entries that this worker has sent and that may not be on disk yet, with content. Other workers find none of them. */
  underWay(key: string): DiskEntry[];
  /** Whether another worker may have sent an entry of the key that is not on disk yet. */
  isUnderWayElsewhere(key: string): boolean;
  /**
   * Content from `position`, which is below the entry's size, to the end of the piece or chunk that holds it: at least
   * one byte. Null: it is missing, damaged, or not as long as the entry's size says.
   */
  read(entry: ContentOnDisk, position: number): Uint8Array | null;
  /** Keeps the chunks of an entry while it is read; the function that it returns ends that. */
  pin(id: string): () => void;
  /** Begins to store an entry; null where the tier stores nothing now. */
  begin(id: string): DiskEntryWriter | null;
  /** Replaces the head with the same id. Resolves when every worker finds the new one. Never rejects. */
  update(head: EntryHead): Promise<void>;
  /** As `update`, but resolves when a power failure can't take it back; false where it can't be written. */
  updateSynced(head: EntryHead): Promise<boolean>;
  /**
   * Resolves when no worker finds the entry any more; those that read it read on. False: the removal could not be
   * synced, and the entry may be found after a restart. Never rejects.
   */
  remove(key: string, id: string): Promise<boolean>;
  /**
   * For an entry whose content is missing or damaged: hides it at once, and resolves when every worker does. Never
   * rejects.
   */
  discard(key: string, id: string): Promise<void>;
  /** Hides the entry from this worker, whatever the disk still has of it. */
  hide(id: string): void;
  /** Notes a use of the entry for the order of eviction. */
  touch(id: string): void;
}

/** One entry in flight to the disk. */
export interface DiskEntryWriter {
  /**
   * Adds bytes, in order; they must not change before the end. The caller bounds what is not stored yet, which
   * `onStored` tells.
   */
  append(bytes: Uint8Array): void;
  /**
   * Calls `listener` with the length that can be read from now on; -1: storing has failed. It is not called for content
   * that is stored with the commit.
   */
  onStored(listener: (length: number) => void): void;
  /** Makes the entry visible once all its bytes are stored. False: it is not stored. */
  commit(head: EntryHead, maxVariants: number): Promise<boolean>;
  abort(): void;
}

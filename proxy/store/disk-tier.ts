import type { EntryHead } from './entry-head.ts';

/** `sizeBytes`: -1 while it is not known yet. */
export type ContentOnDisk = Pick<EntryHead, 'id' | 'sizeBytes'>;

/** The disk tier as the request path of a worker uses it. Reads are synchronous, writes go to the coordinator. */
export interface DiskTier {
  /** Every variant of a primary key that is on disk and whole. */
  heads(key: string): EntryHead[];
  /**
   * Content from `position`, which is below the entry's size, to the end of the chunk that holds it: at least one byte.
   * Null: the chunk is missing, damaged, or not as long as the entry's size says.
   */
  read(entry: ContentOnDisk, position: number): Uint8Array | null;
  /** Keeps the chunks of an entry while it is read; returns what ends that. */
  pin(id: string): () => void;
  /** Begins to store an entry; null where the level stores nothing now. */
  begin(id: string): DiskEntryWriter | null;
  /** Puts a changed head in place of the one with its id. Resolves when every worker finds it; never rejects. */
  update(head: EntryHead): Promise<void>;
  /** The same for what a power failure must not take back: true when it is synced, false where it can't be written. */
  updateSynced(head: EntryHead): Promise<boolean>;
  /**
   * Resolves when no worker finds the entry any more; those that read it read on. False: the removal could not be synced,
   * and the entry may be found after a restart. Never rejects.
   */
  remove(key: string, id: string): Promise<boolean>;
  /**
   * The content of this entry is missing or damaged: no worker finds the entry from now on. This level hides it at once;
   * resolves when every worker does. Never rejects.
   */
  discard(key: string, id: string): Promise<void>;
  /** This level finds the entry no longer, whatever the disk still has of it. */
  hide(id: string): void;
  /** Tells that an entry was used. */
  touch(id: string): void;
}

/** One entry on its way to the disk. */
export interface DiskEntryWriter {
  /** Bytes in order. The caller bounds what is under way by `onStored`. */
  append(bytes: Uint8Array): void;
  /** Called with the length that can be read from now on; -1 where storing has failed. */
  onStored(listener: (length: number) => void): void;
  /** Makes the entry visible once all its bytes are there. False: it was not stored. */
  commit(head: EntryHead, maxVariants: number): Promise<boolean>;
  abort(): void;
}

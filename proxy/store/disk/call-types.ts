import type { EntryHead } from '../entry-head.ts';
import type { EntryBatch } from './outgoing.ts';

/** A worker's calls to the coordinator's disk writer. */
export type DiskCalls = {
  /** Whole small entries. What becomes of each is published in shared memory. */
  storeEntries(batch: EntryBatch): void;
  beginEntry(argument: { readonly id: string }): void;
  appendChunk(argument: { readonly id: string; readonly index: number; readonly bytes: Uint8Array }): boolean;
  /** Makes an entry whose content was sent in chunks visible. `entry`: its record, as `seal` writes it. */
  commitEntry(argument: { readonly entry: Uint8Array }): boolean;
  abortEntry(argument: { readonly id: string }): void;
  /** False where it can't be written; with `isSynced` true only once a power failure can't take it back. */
  updateEntry(argument: { readonly head: EntryHead; readonly isSynced: boolean }): boolean;
  /** True once no worker finds the entry and a power failure can't bring it back. */
  removeEntry(argument: { readonly id: string; readonly key: string }): boolean;
  /** For content that is missing or damaged. True once no worker finds the entry. */
  discardEntry(argument: { readonly id: string; readonly key: string }): boolean;
  pinEntry(argument: { readonly id: string }): void;
  unpinEntry(argument: { readonly id: string }): void;
};

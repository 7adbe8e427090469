import type { ChangeOutcome, DiskWriter } from './writer.ts';
import { mergedHead, type EntryHead } from '../entry-head.ts';
import type { DiskCalls } from './call-types.ts';
import type { EntryOutcomes } from './outcomes.ts';
import { entriesOf, measure, summaryOf } from './record.ts';
import type { Handlers } from '../../threads/channel.ts';

export interface DiskCallsParts {
  readonly writer: DiskWriter | null;
  readonly outcomes: EntryOutcomes | null;
  /** Makes every worker forget the entry. */
  dropEntry(key: string, id: string): void;
  /**
   * Resolves when all entries that workers have begun to send by now have arrived; null: they have. A worker may know of
   * an entry that another one has sent to it before the writer does.
   */
  arrivals(): Promise<unknown> | null;
}

/** Handles the calls of one worker. `forget` gives up what the worker has left unfinished at its death. */
export function diskCallsOf({ writer, outcomes, dropEntry, arrivals }: DiskCallsParts): {
  readonly calls: Handlers<DiskCalls>;
  forget(): void;
} {
  /** Repeats a change of an entry that is not stored once the entries in flight have arrived. */
  const changed = async (change: () => Promise<ChangeOutcome>): Promise<ChangeOutcome> => {
    const outcome = await change();
    const arriving = outcome === 'absent' ? arrivals() : null;
    if (arriving === null) return outcome;
    await arriving;
    return await change();
  };
  const partials = new Set<string>();
  const pins = new Set<string>();
  return {
    calls: {
      async storeEntries({ entries, first }) {
        const all = entriesOf(entries);
        outcomes?.receive(first + all.length);
        await Promise.all(
          all.map(async (entry, i) => {
            let isStored = false;
            try {
              isStored = (await writer?.store(entry)) === 'stored';
            } finally {
              outcomes?.settle(first + i, isStored);
            }
          }),
        );
        release(entries);
      },
      beginEntry({ id }) {
        partials.add(id);
        writer?.begin(id);
      },
      async appendChunk({ id, index, bytes }) {
        const isStored = (await writer?.append(id, index, bytes)) ?? false;
        release(bytes);
        return isStored;
      },
      async commitEntry({ entry }) {
        partials.delete(summaryOf(entry).id);
        return (await writer?.commit(entry)) === 'stored';
      },
      abortEntry({ id }) {
        partials.delete(id);
        writer?.abort(id);
      },
      async updateEntry({ head, isSynced }) {
        if (writer === null) return true;
        const change = (known: EntryHead): EntryHead => mergedHead(known, head);
        const { headBytes } = measure(head);
        const outcome = await changed(() => writer.update(head.id, head.key, change, headBytes));
        return outcome !== 'refused' && (!isSynced || (await writer.synced()));
      },
      async removeEntry({ id, key }) {
        if (writer === null) return true;
        const outcome = await changed(() => writer.remove(id, key));
        const isGone = outcome !== 'refused' && (await writer.synced());
        // Otherwise other workers would find it on disk.
        if (!isGone) dropEntry(key, id);
        return isGone;
      },
      async discardEntry({ id, key }) {
        dropEntry(key, id);
        if (writer !== null) await changed(() => writer.discard(id, key));
        return true;
      },
      pinEntry({ id }) {
        pins.add(id);
        writer?.pin(id);
      },
      unpinEntry({ id }) {
        if (pins.delete(id)) writer?.unpin(id);
      },
    },
    forget() {
      outcomes?.close();
      for (const id of partials) writer?.abort(id);
      for (const id of pins) writer?.unpin(id);
      partials.clear();
      pins.clear();
    },
  };
}

/** Frees memory that a worker has transferred now, not at a later garbage collection. */
function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

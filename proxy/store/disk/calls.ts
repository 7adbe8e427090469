import type { DiskWriter } from './writer.ts';
import { mergedHead, type EntryHead } from '../entry-head.ts';
import type { DiskCalls } from './call-types.ts';
import { measure, summaryOf } from './record.ts';
import type { Handlers } from '../../threads/channel.ts';

/** Handles the calls of one worker. `forget` gives up what the worker has left unfinished at its death. */
export function diskCallsOf(
  writer: DiskWriter | null,
  /** Makes every worker forget the entry. */
  dropEntry: (key: string, id: string) => void,
): { readonly calls: Handlers<DiskCalls>; forget(): void } {
  const partials = new Set<string>();
  const pins = new Set<string>();
  return {
    calls: {
      async storeEntry({ entry }) {
        const isStored = (await writer?.store(entry)) === 'stored';
        release(entry);
        return isStored;
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
        const outcome = await writer.update(head.id, head.key, change, measure(head).headBytes);
        return outcome !== 'refused' && (!isSynced || (await writer.synced()));
      },
      async removeEntry({ id, key }) {
        if (writer === null) return true;
        const isGone = (await writer.remove(id, key)) !== 'refused' && (await writer.synced());
        // Otherwise other workers would find it on disk.
        if (!isGone) dropEntry(key, id);
        return isGone;
      },
      async discardEntry({ id, key }) {
        dropEntry(key, id);
        await writer?.discard(id, key);
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

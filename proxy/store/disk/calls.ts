import type { DiskWriter } from './writer.ts';
import { mergedHead } from '../entry-head.ts';
import type { DiskCalls } from './call-types.ts';
import type { Handlers } from '../../threads/channel.ts';

/** What one worker asks of the disk's writer. What it leaves unfinished when it dies is given up by `forget`. */
export function diskCallsOf(
  writer: DiskWriter | null,
  /** Every worker forgets this entry. */
  dropEntry: (key: string, id: string) => void,
): { readonly calls: Handlers<DiskCalls>; forget(): void } {
  const fills = new Set<string>();
  const pins = new Set<string>();
  return {
    calls: {
      beginEntry({ id }) {
        fills.add(id);
        writer?.begin(id);
      },
      async appendChunk({ id, index, bytes }) {
        const isStored = (await writer?.append(id, index, bytes)) ?? false;
        // The worker has given the memory away: let go of it now, not at some collection.
        if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
        return isStored;
      },
      async commitEntry({ head, maxVariants }) {
        fills.delete(head.id);
        return (await writer?.commit(head, { maxVariants })) === 'stored';
      },
      abortEntry({ id }) {
        fills.delete(id);
        writer?.abort(id);
      },
      async updateEntry({ head, isSynced }) {
        if (writer === null) return true;
        const outcome = await writer.update(head.id, head.key, (known) => mergedHead(known, head));
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
      touchEntries({ ids }) {
        writer?.touch(ids);
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
      for (const id of fills) writer?.abort(id);
      for (const id of pins) writer?.unpin(id);
      fills.clear();
      pins.clear();
    },
  };
}

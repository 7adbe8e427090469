import { knownDigestsBuffer } from './known-digests.ts';
import { outcomesBuffer } from './outcomes.ts';
import { usedEntriesBuffer } from './used-entries.ts';

/** What the writer and the workers of one cache share in memory. */
export interface DiskShared {
  readonly used: SharedArrayBuffer;
  readonly outcomes: SharedArrayBuffer;
  readonly known: SharedArrayBuffer;
}

export function diskShared(diskBytes: number, workers: number): DiskShared {
  return {
    used: usedEntriesBuffer(diskBytes),
    outcomes: outcomesBuffer(workers),
    known: knownDigestsBuffer(diskBytes),
  };
}

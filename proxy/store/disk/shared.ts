import { usedEntriesBuffer } from './used-entries.ts';

/** What the writer and the workers of one cache share in memory. */
export interface DiskShared {
  readonly used: SharedArrayBuffer;
}

export function diskShared(diskBytes: number): DiskShared {
  return { used: usedEntriesBuffer(diskBytes) };
}

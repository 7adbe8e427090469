import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes of content between two collections. */
const EVERY_BYTES = 8 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;

let bytes = 0;

/**
 * To be called with the size of each content buffer that this thread allocates and soon drops. V8 counts only the small
 * objects that refer to such memory, and would keep 64 MiB of dead content in each thread. A collection of the young
 * generation frees it in about a millisecond.
 */
export function noteContent(newBytes: number): void {
  bytes += newBytes;
  if (bytes < EVERY_BYTES) return;
  bytes = 0;
  collect({ type: 'minor' });
}

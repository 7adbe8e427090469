/**
 * A worker that reads entries while the main thread writes them. It answers each list of keys with how many entries it
 * has found whole so far, and throws where an entry is not as it was stored.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { openDiskReader } from '../../../../proxy/store/disk/reader.ts';
import { bodyOf, content } from './entries.ts';

const opening = openDiskReader({ path: String(workerData) });
if (opening.kind === 'failed') throw new Error(opening.reason);
const { reader } = opening;
let whole = 0;
let cut = 0;

parentPort!.on('message', (keys: readonly string[]) => {
  for (const key of keys) {
    for (const head of reader.heads(key)) {
      const body = bodyOf(reader, head);
      if (body === null) cut += 1;
      else if (body.equals(content(Number.parseInt(head.id, 16), head.sizeBytes))) whole += 1;
      else throw new Error(`entry ${head.id} is not as it was stored`);
    }
  }
  parentPort!.postMessage({ whole, cut, corrupt: reader.counters.corrupt }, []);
});

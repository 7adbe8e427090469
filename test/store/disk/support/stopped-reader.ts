/** A worker that reads an entry, reports it, and then blocks its loop until it is resumed. */
import { parentPort, workerData } from 'node:worker_threads';
import { openDiskReader } from '../../../../proxy/store/disk/reader.ts';

const { path, key, resume } = workerData as { path: string; key: string; resume: Int32Array };
const opening = openDiskReader({ path });
if (opening.kind === 'failed') throw new Error(opening.reason);
parentPort!.postMessage(
  opening.reader.heads(key).map(({ id }) => id),
  [],
);
Atomics.wait(resume, 0, 0);
await opening.reader.close();

/**
 * A process on a file system of 24 MiB, whose root is its argument. It fills the file system, makes room, provokes
 * failures, and prints the result of each step as JSON.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import type { DiskEvent } from '../../../../proxy/store/disk/events.ts';
import { openDiskWriter } from '../../../../proxy/store/disk/open.ts';
import { openDiskReader } from '../../../../proxy/store/disk/reader.ts';
import { bodyOf, content, entry, MIB, startsUntil, store } from './entries.ts';

const root = process.argv[2]!;
const ballast = join(root, 'ballast');
const path = join(root, 'cache');
const events: DiskEvent[] = [];
const moreBallast = join(root, 'more-ballast');
fs.writeFileSync(ballast, Buffer.alloc(5 * MIB, 1));
fs.writeFileSync(moreBallast, Buffer.alloc(6 * MIB, 1));

const opening = await openDiskWriter({
  path,
  sizeBytes: 64 * MIB,
  queueBytes: 2 ** 26,
  workers: 1,
  lingerMs: 0,
  starts: startsUntil(1),
  log: (event) => events.push(event),
});
if (opening.kind === 'failed') throw new Error(opening.reason);
const reading = openDiskReader({ path });
if (reading.kind === 'failed') throw new Error(reading.reason);
const { writer } = opening;
const { reader } = reading;

/** Stores entries until one is refused, reads all of them back, and returns their number. */
async function storeUntilRefused(from: number, sizeBytes = 200_000): Promise<number> {
  let n = from;
  while ((await store(writer, n, { sizeBytes })) === 'stored') n += 1;
  for (let each = from; each < n; each += 1) {
    const [head] = reader.heads(entry(each).key);
    if (head === undefined || !bodyOf(reader, head)?.equals(content(each, sizeBytes)))
      throw new Error(`${each} is lost`);
  }
  return n - from;
}

function report(step: string, stored: number): void {
  const { storing, fullErrors } = writer.stats();
  console.log(JSON.stringify({ step, stored: stored > 0, storing, fullErrors, events: events.splice(0) }));
}

report('no room left', await storeUntilRefused(1));
fs.rmSync(ballast);
// Without chunks.
report('room again', await storeUntilRefused(1_000, 50_000));

// From here on the check before a transaction is shown room that does not exist, so that LMDB's own write fails.
fs.writeFileSync(ballast, Buffer.alloc(fs.statfsSync(root).bavail * 4096, 1));
const { statfsSync } = fs;
let lies = 2;
Object.assign(fs, {
  statfsSync: (of: string) => (lies-- > 0 ? { ...statfsSync(of), bavail: 1e6 } : statfsSync(of)),
});
syncBuiltinESMExports();
report('a write fails for lack of room', await storeUntilRefused(200));
fs.rmSync(ballast);
fs.rmSync(moreBallast);
report('room after that', await storeUntilRefused(300));

fs.writeFileSync(ballast, Buffer.alloc(statfsSync(root).bavail * 4096, 1));
lies = 1e6;
report('a write fails though there is room', await storeUntilRefused(400));
report('no further write is tried', await storeUntilRefused(500));
await reader.close();
await writer.close();

/**
 * A process that opens damaged copies of a cache, one after another, and uses each: `original scratch seed rounds`. It
 * fails where an entry is not read as it was stored. The caller checks that it exits without a crash.
 */
import { closeSync, cpSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openDiskWriter } from '../../../../proxy/store/disk/open.ts';
import { openDiskReader } from '../../../../proxy/store/disk/reader.ts';
import { bodyOf, content, entry, entryId, MIB, scanned, startsUntil, store } from './entries.ts';

const [original, scratch, seed, rounds] = process.argv.slice(2);
let state = Number(seed);

/** From 0 to below `bound`; a linear congruential generator, so that the seed determines the run. */
function random(bound: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return Math.floor(((state >>> 8) / 2 ** 24) * bound);
}

function damage(file: string): void {
  const size = statSync(file).size;
  if (random(20) === 0) return truncateSync(file, random(size));
  const descriptor = openSync(file, 'r+');
  for (let spot = random(4); spot >= 0; spot -= 1) {
    const bytes = Buffer.from(
      Array.from({ length: 1 + random([4, 64, 5000][random(3)]!) }, () => random(256)),
    );
    // Pages of trees are few, and their headers are sensitive: half of the damage is at the start of a page.
    const at = random(2) === 0 ? random(size) : Math.floor(random(size) / 4096) * 4096 + random(64);
    writeSync(descriptor, bytes, 0, bytes.length, at);
  }
  closeSync(descriptor);
}

for (let round = 0; round < Number(rounds); round += 1) {
  const path = join(scratch!, 'damaged');
  rmSync(path, { recursive: true, force: true });
  cpSync(original!, path, { recursive: true });
  damage(join(path, 'data.mdb'));
  const opening = await openDiskWriter({
    path,
    sizeBytes: 16 * MIB,
    queueBytes: 2 ** 26,
    workers: 1,
    lingerMs: 0,
    starts: startsUntil(2),
    log: () => {},
  });
  if (opening.kind === 'failed') throw new Error(opening.reason);
  const reading = openDiskReader({ path });
  if (reading.kind === 'failed') throw new Error(reading.reason);
  const { writer } = opening;
  const { reader } = reading;
  for (const head of await scanned(writer)) {
    const body = bodyOf(reader, head);
    const stored = content(Number.parseInt(head.id, 16), head.sizeBytes);
    if (body !== null && !body.equals(stored)) throw new Error(`${head.id} is not as it was stored`);
  }
  for (let n = 1; n <= 60; n += 2) await writer.remove(entryId(n), entry(n).key);
  for (let n = 1000; n < 1040; n += 1) await store(writer, n, { sizeBytes: n * 100 });
  await writer.idle();
  await reader.close();
  await writer.close();
}

/** What a machine finds of an LMDB environment after its power failed between a commit and its sync. */
import { closeSync, cpSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from './open-disk.ts';

/** Where LMDB's meta pages lie: two in turn, and that of the last transaction that was synced. */
const META_OFFSETS = [0, 4096];
const SYNCED_OFFSET = 2048;
/** Within each, the id of the machine's boot under which it was written. */
const BOOT_ID_OFFSET = 160;
const META_BYTES = BOOT_ID_OFFSET + 8;

/** The meta page of the last transaction that was synced. */
export function syncedMeta(path: string): Buffer {
  return readFileSync(join(path, 'data.mdb')).subarray(SYNCED_OFFSET, SYNCED_OFFSET + META_BYTES);
}

/**
 * A copy of the folder, of another boot of the machine, as if nothing had been synced since `synced`: LMDB goes back to
 * that transaction.
 */
export function afterPowerFailure(path: string, synced: Buffer): string {
  const copy = join(scratchFolder(), 'after');
  cpSync(path, copy, { recursive: true });
  const file = openSync(join(copy, 'data.mdb'), 'r+');
  writeSync(file, synced, 0, META_BYTES, SYNCED_OFFSET);
  for (const offset of [...META_OFFSETS, SYNCED_OFFSET])
    writeSync(file, Buffer.alloc(8), 0, 8, offset + BOOT_ID_OFFSET);
  closeSync(file);
  return copy;
}

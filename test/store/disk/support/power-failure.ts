/** An LMDB environment as a machine finds it after a power failure between a commit and its sync. */
import { closeSync, cpSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from './open-disk.ts';

/** The offsets of LMDB's meta pages: two that are written in turn, and that of the last synced transaction. */
const META_OFFSETS = [0, 4096];
const SYNCED_OFFSET = 2048;
/** The offset, within a meta page, of the id of the machine's boot that has written it. */
const BOOT_ID_OFFSET = 160;
const META_BYTES = BOOT_ID_OFFSET + 8;

/** The meta page of the last synced transaction. */
export function syncedMeta(path: string): Buffer {
  return readFileSync(join(path, 'data.mdb')).subarray(SYNCED_OFFSET, SYNCED_OFFSET + META_BYTES);
}

/**
 * A copy of the folder as another boot of the machine finds it if nothing was synced after `synced`: LMDB returns to
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

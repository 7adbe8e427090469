import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MIB, store } from '../store/disk/support/entries.ts';
import { openDisk, scratchFolder } from '../store/disk/support/open-disk.ts';

const DAMAGED_PROCESS = fileURLToPath(new URL('../store/disk/support/damaged-process.ts', import.meta.url));

describe('a cache file damaged at random places', () => {
  it.each([1, 2, 3, 4])(
    'seed %i: never ends the process, and yields no wrong content',
    async (seed) => {
      const original = scratchFolder();
      const disk = await openDisk(original, { sizeBytes: 16 * MIB });
      for (let n = 1; n <= 150; n += 1) await store(disk.writer, n, { sizeBytes: (n * 7919) % 120_000 });
      await disk.close();
      const args = [DAMAGED_PROCESS, original, scratchFolder(), String(seed), '150'];
      const child = spawn(process.execPath, args, { stdio: 'inherit' });
      expect(await once(child, 'exit')).toEqual([0, null]);
    },
    600_000,
  );
});

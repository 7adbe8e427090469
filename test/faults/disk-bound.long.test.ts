import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MIB, store } from '../store/disk/support/entries.ts';
import { openDisk, scratchFolder } from '../store/disk/support/open-disk.ts';

describe('a cache to which many times its size is stored', () => {
  it.each([8, 64, 256])(
    'keeps its file within %i MiB, and keeps storing',
    async (sizeMiB) => {
      const path = scratchFolder();
      const sizeBytes = sizeMiB * MIB;
      const { writer } = await openDisk(path, { sizeBytes });
      const worker = new Worker(new URL('../store/disk/support/reading-worker.ts', import.meta.url), {
        workerData: path,
      });
      onTestFinished(async () => void (await worker.terminate()));
      const keys = Array.from({ length: 500 }, (_, n) => `key ${n}`);
      let largestFileBytes = 0;
      let storedBytes = 0;
      for (let n = 1; storedBytes < Math.min(sizeBytes * 30, 2048 * MIB);) {
        const batch = Array.from({ length: 8 }, (_, i) => n + i);
        n += batch.length;
        const sizes = batch.map(bodySize);
        storedBytes += sizes.reduce((sum, size) => sum + size, 0);
        const key = (each: number): string => keys[(each * 31) % keys.length]!;
        const stores = batch.map((each, i) =>
          store(writer, each, { sizeBytes: sizes[i]!, key: `${key(each)} ${each % 7}` }),
        );
        expect(new Set(await Promise.all(stores))).toEqual(new Set(['stored']));
        worker.postMessage(
          keys.slice(0, 5).map((each) => `${each} 3`),
          [],
        );
        largestFileBytes = Math.max(largestFileBytes, statSync(join(path, 'data.mdb')).size);
      }
      await writer.idle();
      const stats = writer.stats();
      expect(largestFileBytes).toBeLessThanOrEqual(sizeBytes);
      expect(stats).toMatchObject({ refused: 0, fullErrors: 0, storing: 'on' });
    },
    600_000,
  );
});

/** From 200 bytes to 600 kB, mostly small. */
function bodySize(n: number): number {
  const spread = (n * 7919) % 1000;
  return spread < 700 ? 200 + spread * 29 : spread < 970 ? spread * 180 : spread * 600;
}

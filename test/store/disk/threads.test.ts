import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { entry, entryId, MIB, store } from './support/entries.ts';
import { openDisk, scratchFolder } from './support/open-disk.ts';

interface Counts {
  readonly whole: number;
  readonly cut: number;
  readonly corrupt: number;
}

function readingWorker(path: string): {
  check(keys: readonly string[]): Promise<Counts>;
  end(): Promise<void>;
} {
  const worker = new Worker(new URL('./support/reading-worker.ts', import.meta.url), { workerData: path });
  const waiting: ((counts: Counts) => void)[] = [];
  worker.on('message', (counts: Counts) => waiting.shift()!(counts));
  const end = async (): Promise<void> => void (await worker.terminate());
  onTestFinished(end);
  const check = (keys: readonly string[]): Promise<Counts> =>
    new Promise((resolve, reject) => {
      worker.once('error', reject);
      waiting.push(resolve);
      worker.postMessage(keys, []);
    });
  worker.setMaxListeners(0);
  return { check, end };
}

describe('workers', () => {
  it('find committed entries whole while entries are stored, replaced and evicted', async () => {
    const path = scratchFolder();
    const { writer } = await openDisk(path, { sizeBytes: 8 * MIB });
    const workers = [readingWorker(path), readingWorker(path)];
    const keys = Array.from({ length: 8 }, (_, n) => `key ${n}`);
    const checks: Promise<Counts>[] = [];
    for (let n = 1; n <= 240; n += 1) {
      await store(writer, n, { key: keys[n % keys.length]!, sizeBytes: 120_000 });
      if (n % 20 === 0) await writer.remove(entryId(n), keys[n % keys.length]!);
      if (n % 10 === 0) checks.push(...workers.map((worker) => worker.check(keys)));
    }
    await Promise.all(checks);
    for (const worker of workers) {
      const before = await worker.check([]);
      const { whole, cut, corrupt } = await worker.check(keys);
      expect(whole - before.whole).toBe(writer.stats().entries);
      expect({ cut: cut - before.cut, corrupt }).toEqual({ cut: 0, corrupt: 0 });
    }
  });

  it('that are terminated while they read do not block the writer or other workers', async () => {
    const path = scratchFolder();
    const { writer } = await openDisk(path);
    await store(writer, 1, { sizeBytes: MIB });
    const keys = Array.from({ length: 200 }, () => entry(1).key);
    const [doomed, other] = [readingWorker(path), readingWorker(path)];
    await Promise.all([doomed.check([entry(1).key]), other.check([entry(1).key])]);
    doomed.check(keys).catch(() => {});
    await doomed.end();
    expect(await store(writer, 2, { sizeBytes: MIB })).toBe('stored');
    expect(await other.check([entry(2).key])).toMatchObject({ whole: 2, cut: 0 });
  });
});

/**
 * A process that stores and removes entries until it is killed: `path start first`. It prints each change once it is
 * committed, and each removal also before it begins: `+7`, `?7`, `-7`.
 */
import { writeSync } from 'node:fs';
import { openDiskWriter } from '../../../../proxy/store/disk/open.ts';
import { entry, entryId, MIB, startsUntil, store } from './entries.ts';

const [path, start, first] = process.argv.slice(2);
const print = (line: string): void => void writeSync(1, `${line}\n`);

const opening = await openDiskWriter({
  path: path!,
  sizeBytes: 512 * MIB,
  queueBytes: 2 ** 26,
  workers: 1,
  lingerMs: 0,
  starts: startsUntil(Number(start)),
  log: (event) => print(`! ${JSON.stringify(event)}`),
});
if (opening.kind === 'failed') throw new Error(opening.reason);
for (const line of opening.report) print(`! ${line}`);
const { writer } = opening;

async function work(n: number): Promise<void> {
  const stored = await store(writer, n, { sizeBytes: (n * 7919) % 150_000 });
  print(stored === 'stored' ? `+${n}` : `! ${n} refused`);
  if (n % 5 !== 0) return;
  print(`?${n}`);
  await writer.remove(entryId(n), entry(n).key);
  print(`-${n}`);
}

for (let n = Number(first); ; n += 4) await Promise.all([work(n), work(n + 1), work(n + 2), work(n + 3)]);

/** Rounds of a process that writes a cache and is killed with SIGKILL, and the checks on what it leaves. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { bodyOf, content, entry, MIB, scanned, startsUntil } from './entries.ts';
import { openDisk } from './open-disk.ts';

const WRITING_PROCESS = fileURLToPath(new URL('./writing-process.ts', import.meta.url));

/** What the killed processes have reported. */
interface Account {
  readonly stored: Set<number>;
  readonly removed: Set<number>;
  /** Their removal had begun, and may have been committed or not. */
  readonly doubtful: Set<number>;
}

/** `random` (0 to 1) chooses after how many lines the process of each round is killed. */
export async function runKillRounds(path: string, rounds: number, random: () => number): Promise<Account> {
  const account: Account = { stored: new Set(), removed: new Set(), doubtful: new Set() };
  for (let round = 0; round < rounds; round += 1) {
    await writeUntilKilled(path, round, 1 + Math.floor(random() * 80), account);
    await expectAllThere(path, round, account);
  }
  return account;
}

async function writeUntilKilled(path: string, round: number, lines: number, account: Account): Promise<void> {
  const args = [WRITING_PROCESS, path, String(round * 2 + 1), String(round * 10_000 + 1)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  let count = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    note(line, account);
    count += 1;
    if (count === lines) child.kill('SIGKILL');
  }
  expect(await exit).toEqual([null, 'SIGKILL']);
}

function note(line: string, { stored, removed, doubtful }: Account): void {
  const n = Number(line.slice(1));
  if (line.startsWith('+')) stored.add(n);
  else if (line.startsWith('?')) doubtful.add(n);
  else if (line.startsWith('-')) removed.add(n);
  else throw new Error(line);
}

async function expectAllThere(path: string, round: number, account: Account): Promise<void> {
  const disk = await openDisk(path, {
    sizeBytes: 512 * MIB,
    starts: startsUntil(round * 2 + 2),
  });
  expect(disk).toMatchObject({ trusted: true, report: [] });
  const found = new Set<number>();
  let bytes = 0;
  for (const head of await scanned(disk.writer)) {
    const n = Number.parseInt(head.id, 16);
    expect(head).toEqual(entry(n, { sizeBytes: (n * 7919) % 150_000 }));
    expect(bodyOf(disk.reader, head)).toEqual(content(n, head.sizeBytes));
    found.add(n);
    bytes += head.sizeBytes;
  }
  const lost = [...account.stored].filter(
    (n) => !found.has(n) && !account.removed.has(n) && !account.doubtful.has(n),
  );
  expect({ lost, back: [...account.removed].filter((n) => found.has(n)) }).toEqual({ lost: [], back: [] });
  expect(disk.writer.stats()).toMatchObject({ entries: found.size, bytes, corrupt: 0 });
  await disk.writer.idle();
  await disk.close();
}

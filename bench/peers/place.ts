/** The measured server has one processor to itself. The origin and the load share another one. */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { processTree } from '../processor-time.ts';

export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** Returns the words before a command that make it and its children run on one processor. */
export function onCore(core: number): readonly string[] {
  return ['taskset', '--cpu-list', String(core)];
}

/** Lets a process, all its threads and its descendants run on every processor. */
export async function unpin(pid: number): Promise<void> {
  const all = `0-${availableParallelism() - 1}`;
  for (const member of processTree(pid))
    await promisify(execFile)('taskset', ['--all-tasks', '--cpu-list', '--pid', all, String(member)]);
}

/** Processor time as Linux counts it, user and system together: proc_pid_stat(5). */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Returns the processor time of all threads of a process in seconds. Throws if there is no such process. */
export function processorSeconds(pid: number): number {
  return readStat(`/proc/${pid}/stat`).seconds;
}

/** Returns the ids of a process and of its running descendants, the process first. */
export function processTree(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStatIfThere(`/proc/${name}/stat`) : null;
    if (stat === null) continue;
    const siblings = children.get(stat.parent);
    if (siblings === undefined) children.set(stat.parent, [Number(name)]);
    else siblings.push(Number(name));
  }
  const tree = [pid];
  for (let i = 0; i < tree.length; i += 1) tree.push(...(children.get(tree[i]!) ?? []));
  return tree;
}

/** Returns the processor time of several processes in seconds. A process that has ended counts as 0. */
export function processorSecondsOfAll(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readStatIfThere(`/proc/${pid}/stat`)?.seconds ?? 0), 0);
}

export interface ThreadTime {
  /** The kernel's name of the thread, at most 15 bytes. */
  readonly name: string;
  readonly isFirst: boolean;
  readonly seconds: number;
}

/** Returns the running threads of a process by their ids. */
export function threadTimes(pid: number): ReadonlyMap<number, ThreadTime> {
  const times = new Map<number, ThreadTime>();
  for (const id of readdirSync(`/proc/${pid}/task`).map(Number)) {
    const stat = readStatIfThere(`/proc/${pid}/task/${id}/stat`);
    if (stat !== null) times.set(id, { name: stat.name, isFirst: id === pid, seconds: stat.seconds });
  }
  return times;
}

interface Stat {
  readonly name: string;
  readonly parent: number;
  readonly seconds: number;
}

function readStatIfThere(path: string): Stat | null {
  try {
    return readStat(path);
  } catch {
    // The process ended after its folder was listed.
    return null;
  }
}

function readStat(path: string): Stat {
  const stat = readFileSync(path, 'utf8');
  // The name in parentheses may contain any character; the third field is the first after it.
  const nameEnd = stat.lastIndexOf(')');
  const fields = stat.slice(nameEnd + 2).split(' ');
  const [parent, userTicks, systemTicks] = [Number(fields[1]), Number(fields[11]), Number(fields[12])];
  return {
    name: stat.slice(stat.indexOf('(') + 1, nameEnd),
    parent,
    seconds: (userTicks + systemTicks) / ticksPerSecond(),
  };
}

let ticks = 0;

function ticksPerSecond(): number {
  if (ticks === 0) ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ticks;
}

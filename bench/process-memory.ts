import { readFileSync } from 'node:fs';

const KIB_IN_MIB = 1024;

/** MiB that a process holds by itself or shared between its threads, without files that it has mapped: proc_pid_status(5). */
export function memoryMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kib('RssAnon') + kib('RssShmem')) / KIB_IN_MIB;
}

import { readFileSync } from 'node:fs';

const KIB_IN_MIB = 1024;

/** RssAnon and RssShmem of a process in MiB: its own memory, without mapped files. See proc_pid_status(5). */
export function memoryMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kib('RssAnon') + kib('RssShmem')) / KIB_IN_MIB;
}

import { readFileSync } from 'node:fs';

/** Bytes of anonymous and shared memory of a process. Mapped files do not count, because the kernel can drop them. */
export function memoryOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kibOf = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]);
  return (kibOf('RssAnon') + kibOf('RssShmem')) * 1024;
}

/**
 * Two uses of memory can be bounded only when a process starts: the young generation of the main thread's heap, which V8
 * lets grow to 100 MB under a steady load, and the arenas of the C library, which keep the memory that threads have freed.
 * `weir serve` therefore sets both bounds and executes itself again, in the same process.
 */
import type { Environment } from '../../policies/config/environment.ts';

/** Sizes in MB. The coordinator serves no client requests, so a small young generation has no measurable cost. */
export const MAIN_HEAP_OPTIONS = ['--max-semi-space-size=4', '--initial-old-space-size=40'] as const;
/**
 * More arenas do not make requests faster, and each keeps about 20 MB of freed memory. Without fixed thresholds the C library
 * raises its own after the first large buffers, up to 32 MB, and returns less of what was freed (mallopt(3)).
 */
const ARENAS = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_TRIM_THRESHOLD_: '131072',
  MALLOC_MMAP_THRESHOLD_: '262144',
} as const;

export interface ProcessStart {
  readonly platform: string;
  /** The options of Node.js on the command line. */
  readonly execArgv: readonly string[];
  readonly env: Environment;
  /** The process has an IPC channel to its parent, which a replacement would close. */
  readonly hasChannel: boolean;
}

/** Returns the options of the restart, or null if none is needed. Keeps what an operator has set. */
export function decideRestart({
  platform,
  execArgv,
  env,
  hasChannel,
}: ProcessStart): { readonly execArgv: readonly string[]; readonly env: Environment } | null {
  if (platform !== 'linux' || hasChannel) return null;
  const given = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)];
  const isGiven = (option: string): boolean => given.some((other) => nameOf(other) === nameOf(option));
  const missing = MAIN_HEAP_OPTIONS.filter((option) => !isGiven(option));
  if (missing.length === 0 && env['MALLOC_ARENA_MAX'] !== undefined) return null;
  return { execArgv: [...missing, ...execArgv], env: { ...ARENAS, ...env } };
}

/** V8 treats underscores and hyphens as equal. */
function nameOf(option: string): string {
  return option.split('=', 1)[0]!.replaceAll('_', '-');
}

/** Does not return if the process is replaced. */
export function boundMemory(): void {
  const { platform, execArgv, env } = process;
  const restart = decideRestart({ platform, execArgv, env, hasChannel: process.send !== undefined });
  if (restart === null || process.execve === undefined) return;
  const args = [process.argv0, ...restart.execArgv, ...process.argv.slice(1)];
  try {
    process.execve(process.execPath, args, { ...restart.env });
  } catch (error) {
    // The permission model of Node.js (`--permission`) forbids replacing the process. Weir serves without the bounds.
    process.stderr.write(`warning: the memory of the process is not bounded: ${(error as Error).message}\n`);
  }
}

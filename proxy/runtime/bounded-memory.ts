/**
 * Two things that a process uses memory for can only be bounded as it starts: the young generation of the main thread's
 * heap, which V8 lets grow to 100 MB under a steady load, and the arenas of the C library, which keep what each thread has
 * let go of. `weir serve` therefore replaces itself once, in the same process, with these set.
 */
import type { Environment } from '../../policies/config/environment.ts';

/** In MB. The coordinator lives long and answers nobody's requests: a small young generation costs it nothing measurable. */
export const MAIN_HEAP_OPTIONS = ['--max-semi-space-size=4', '--initial-old-space-size=40'] as const;
/** More of them make no difference to the time a request takes; each keeps some 20 MB of what was let go. */
const ARENAS = { MALLOC_ARENA_MAX: '2' } as const;

export interface ProcessStart {
  readonly platform: string;
  /** Of Node.js, from its command line. */
  readonly execArgv: readonly string[];
  readonly env: Environment;
  /** A parent talks to this process over a channel, which would not outlast the replacement. */
  readonly hasChannel: boolean;
}

/** What the process is to be started with again; null: it stays as it is. What an operator has set already stays. */
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

/** V8 takes underscores and hyphens alike. */
function nameOf(option: string): string {
  return option.split('=', 1)[0]!.replaceAll('_', '-');
}

/** Does not return where the process is replaced. */
export function boundMemory(): void {
  const { platform, execArgv, env } = process;
  const restart = decideRestart({ platform, execArgv, env, hasChannel: process.send !== undefined });
  if (restart === null || process.execve === undefined) return;
  const args = [process.argv0, ...restart.execArgv, ...process.argv.slice(1)];
  try {
    process.execve(process.execPath, args, { ...restart.env });
  } catch (error) {
    // The permission model of Node.js (`--permission`) refuses it. Weir serves all the same.
    process.stderr.write(`warning: the memory of the process is not bounded: ${(error as Error).message}\n`);
  }
}

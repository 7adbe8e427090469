import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Ends a child process when the process that runs the tests ends, for any reason: a test that fails before
 * its `stop`, or a run that is killed. A shell reads from a pipe, and kills the remaining children when the
 * pipe breaks.
 */
export function endWithTests(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  reaper ??= startReaper();
  const { stdin } = reaper;
  stdin?.write(`+ ${pid}\n`);
  child.once('exit', () => stdin?.write(`- ${pid}\n`));
}

const REAP = `
  left=
  while read -r what pid; do
    case $what in
      +) left="$left $pid" ;;
      -) others=; for one in $left; do [ "$one" = "$pid" ] || others="$others $one"; done; left=$others ;;
    esac
  done
  [ -z "$left" ] || kill -9 $left`;

let reaper: ChildProcess | null = null;

/**
 * The shell has a process group of its own, so that a signal from a terminal that ends the tests does not end
 * it first.
 */
function startReaper(): ChildProcess {
  const shell = spawn('sh', ['-c', REAP], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
  shell.unref();
  (shell.stdin as { unref?(): void } | null)?.unref?.();
  return shell;
}

import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Sees to it that a child ends with the process that runs the tests, however that ends: a test that fails before its
 * `stop`, a run that is killed. A shell holds the other end of a pipe, and when that breaks it kills whoever is left.
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

/** In a group of its own, so that what ends the tests from a terminal does not end it first. */
function startReaper(): ChildProcess {
  const shell = spawn('sh', ['-c', REAP], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
  shell.unref();
  (shell.stdin as { unref?(): void } | null)?.unref?.();
  return shell;
}

/** External requests to the process: signals, and the end of the npm that started it. */
import { readFileSync } from 'node:fs';

/** The cause of a stop, for the log. */
export type StopCause = NodeJS.Signals | 'admin' | 'npm-ended';

export interface Signals {
  /** Resolves when a stop is requested. */
  readonly stop: Promise<StopCause>;
  /** Requests a stop. A second call does nothing. */
  end(cause: 'admin'): void;
  /** Sets the listener for SIGHUP, and calls it at once if a SIGHUP arrived earlier. */
  onHangup(listener: () => void): void;
}

/** The part of the process that `watchSignals` uses. */
export interface SignalledProcess {
  readonly ppid: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  exit(code: number): void;
}

/** The interval of the check that npm still runs. */
const PARENT_MS = 250;
/** Within this, npm's copy of a signal follows the signal that the terminal sent to all. */
const COPY_MS = 500;

/**
 * To be called first, so that a signal does not end a process that is starting. A second signal to stop ends it at once.
 *
 * npm passes on SIGTERM and SIGINT, even those that the terminal has already sent to Weir. npm ends at a SIGHUP. If npm
 * starts Weir through a shell, only the shell gets what npm passes on. Therefore Weir also stops when npm has ended.
 */
export function watchSignals(host: SignalledProcess = process, now = () => performance.now()): Signals {
  const { promise: stop, resolve } = Promise.withResolvers<StopCause>();
  const isOfNpm = isStartedByNpm(host.env);
  let stoppingSince: number | null = null;
  let onHangup: (() => void) | null = null;
  let isAskedEarly = false;
  const begin = (cause: StopCause): boolean => {
    if (stoppingSince !== null) return false;
    stoppingSince = now();
    resolve(cause);
    return true;
  };
  const receive = (signal: NodeJS.Signals): void => {
    const since = stoppingSince;
    if (begin(signal) || since === null) return;
    if (!isOfNpm || now() - since > COPY_MS) host.exit(1);
  };
  host.on('SIGTERM', () => receive('SIGTERM'));
  host.on('SIGINT', () => receive('SIGINT'));
  host.on('SIGHUP', () => {
    if (onHangup === null) isAskedEarly = true;
    else onHangup();
  });
  if (isOfNpm) watchParent(host, () => begin('npm-ended'));
  return {
    stop,
    end: begin,
    onHangup(listener) {
      onHangup = listener;
      if (isAskedEarly) listener();
    },
  };
}

/**
 * True for a script of Weir's own checkout and for `npx weir`, which wait for Weir. Another package's script may leave
 * Weir running.
 */
function isStartedByNpm(env: SignalledProcess['env']): boolean {
  return env['npm_package_name'] === OWN_PACKAGE || env['npm_lifecycle_event'] === 'npx';
}

const OWN_PACKAGE = '@weir-cache/weir';

/** A shell that npm started outlives npm, so the shell's parent is checked as well if the system reports it. */
function watchParent(host: SignalledProcess, onGone: () => void): void {
  const parent = host.ppid;
  const grandparent = parentOf(parent);
  const timer = setInterval(() => {
    if (host.ppid === parent && parentOf(parent) === grandparent) return;
    clearInterval(timer);
    onGone();
  }, PARENT_MS);
  timer.unref();
}

/** The parent's process id on Linux; null elsewhere. */
function parentOf(pid: number): number | null {
  try {
    // The program's name, in parentheses, can contain spaces and parentheses (proc_pid_stat(5)).
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 1).split(' ')[2]);
  } catch {
    return null;
  }
}

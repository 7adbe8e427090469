/** `weir reload` and `weir stop`: the effect of SIGHUP and SIGTERM, through the admin side of a running Weir. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readiness, Reloaded, Stopping } from '../admin/dependencies.ts';
import { askAdmin } from './admin-client.ts';
import { findTarget, NO_OPTIONS, type AdminTarget } from './admin-target.ts';
import type { ReloadCommand, StopCommand } from './arguments.ts';
import type { ConfigFile } from './config-file.ts';
import { printNoTarget, printFailure } from './failure.ts';
import type { Output } from './output.ts';
import { waitsForText, type WaitsFor } from '../admin/waits-for.ts';

export interface ControlOptions<Command> extends Omit<ConfigFile, 'file'> {
  readonly command: Command;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Long, because a reload waits for every worker. */
const RELOAD_MS = 60_000;
const STOP_MS = 10_000;
const POLL_MS = 50;
/** The interval at which an unchanged wait is printed again. */
const REPEAT_MS = 5_000;
/** The time that Weir needs to close its stores after the grace period of requests. */
const CLOSING_SECONDS = 30;

/** Returns the exit code: 0 if the configuration is in force, 1 if not; then every error has been printed. */
export async function runReload(options: ControlOptions<ReloadCommand>): Promise<0 | 1> {
  const { command, stdout, stderr, ...source } = options;
  const { file, json, running = NO_OPTIONS } = command;
  const found = await findTarget(running, { ...source, file });
  if (found.kind !== 'found') {
    printNoTarget('reload', found, { json, stdout, stderr });
    return 1;
  }
  const answer = await askAdmin(found.target, {
    method: 'POST',
    path: '/reload',
    body: {},
    timeoutMs: RELOAD_MS,
    answer: { invalidatedRoutes: 'list', warnings: 'list' },
  });
  if (answer.kind !== 'ok') {
    printFailure('reload', answer, { json, stdout, stderr });
    return 1;
  }
  const reloaded = answer.value as Reloaded;
  for (const warning of reloaded.warnings) stderr.write(`warning: ${warning}\n`);
  stdout.write(json ? `${JSON.stringify(reloaded)}\n` : reloadedText(reloaded));
  return 0;
}

function reloadedText({ invalidatedRoutes }: Reloaded): string {
  const routes = invalidatedRoutes.length === 0 ? '' : `; revalidated: ${invalidatedRoutes.join(', ')}`;
  return `reloaded${routes}\n`;
}

/** Returns the exit code: 0 if Weir has ended, else 1. */
export async function runStop(options: ControlOptions<StopCommand>): Promise<0 | 1> {
  const { command, stdout, stderr, ...source } = options;
  const { file, json, running = NO_OPTIONS } = command;
  const found = await findTarget(running, { ...source, file });
  if (found.kind !== 'found') {
    printNoTarget('stop', found, { json, stdout, stderr });
    return 1;
  }
  const answer = await askAdmin(found.target, {
    method: 'POST',
    path: '/stop',
    body: {},
    timeoutMs: STOP_MS,
    answer: { pid: 'number', graceSeconds: 'number' },
  });
  if (answer.kind !== 'ok') {
    printFailure('stop', answer, { json, stdout, stderr });
    return 1;
  }
  const { pid, graceSeconds } = answer.value as Stopping;
  const deadline = performance.now() + (graceSeconds + CLOSING_SECONDS) * 1000;
  let shown: string | null = null;
  let repeatAt = 0;
  for (;;) {
    const seen = await look(found.target, pid);
    if (seen.kind === 'ended') break;
    const text = seen.waitsFor === null ? null : waitsForText(seen.waitsFor);
    if (text !== null && (text !== shown || performance.now() > repeatAt)) {
      stderr.write(`weir stop: ${text}\n`);
      repeatAt = performance.now() + REPEAT_MS;
    }
    shown = text;
    if (performance.now() > deadline) {
      const detail = `Weir (pid ${pid}) is stopping and has not ended yet`;
      printFailure('stop', { kind: 'unreachable', detail }, { json, stdout, stderr });
      return 1;
    }
    await sleep(POLL_MS);
  }
  stdout.write(json ? `${JSON.stringify({ stopped: true, pid })}\n` : `stopped (pid ${pid})\n`);
  return 0;
}

type Seen = { readonly kind: 'running'; readonly waitsFor: WaitsFor | null } | { readonly kind: 'ended' };

/** The admin side closes before the stores do, so a process on this machine is checked by its id as well. */
async function look(target: AdminTarget, pid: number): Promise<Seen> {
  const answer = await askAdmin(target, {
    method: 'GET',
    path: '/readyz',
    timeoutMs: STOP_MS,
    answer: { ready: 'boolean' },
  });
  switch (answer.kind) {
    case 'ok':
    case 'refused':
      return { kind: 'running', waitsFor: (answer.value as Partial<Readiness> | null)?.waitsFor ?? null };
    case 'unreachable': {
      const isHere = LOOPBACK.test(new URL(target.url).hostname);
      return isHere && isAlive(pid) ? { kind: 'running', waitsFor: null } : { kind: 'ended' };
    }
    default:
      return answer satisfies never;
  }
}

const LOOPBACK = /^(?:localhost|127\..*|\[::1\])$/;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** `weir writes`: lists and manages the journal through the admin side of a running Weir. */
import type { WriteReport } from '../writes/journal-admin.ts';
import { findTarget, NO_OPTIONS, type AdminTarget } from './admin-target.ts';
import { askAdmin, type AdminAnswer, type AdminQuestion, type Members } from './admin-client.ts';
import type { WritesCommand } from './arguments.ts';
import type { ConfigFile } from './config-file.ts';
import { printNoTarget, printFailure } from './failure.ts';
import type { Output } from './output.ts';

export interface WritesOptions extends Omit<ConfigFile, 'file'> {
  readonly command: WritesCommand;
  readonly stdout: Output;
  readonly stderr: Output;
}

const TIMEOUT_MS = 30_000;
const LISTED: Members = { writes: 'list' };
const ONE: Members = { id: 'string', state: 'string', acceptedAt: 'string', attempts: 'number' };

/** Returns the exit code: 0 if the action succeeded for all writes, else 1. */
export async function runWrites({ command, stdout, stderr, ...source }: WritesOptions): Promise<0 | 1> {
  const { file, json, action, running = NO_OPTIONS } = command;
  const found = await findTarget(running, { ...source, file });
  if (found.kind !== 'found') {
    printNoTarget('writes', found, { json, stdout, stderr });
    return 1;
  }
  const questions =
    action.kind === 'list' ? [listing(action)] : action.ids.map((id) => about(action.kind, id));
  let code: 0 | 1 = 0;
  for (const question of questions) {
    const answer = await ask(found.target, question);
    if (answer.kind === 'ok') stdout.write(json ? `${JSON.stringify(answer.value)}\n` : textOf(answer.value));
    else {
      printFailure('writes', answer, { json, stdout, stderr });
      code = 1;
    }
  }
  return code;
}

function ask(target: AdminTarget, question: Omit<AdminQuestion, 'timeoutMs'>): Promise<AdminAnswer> {
  return askAdmin(target, { ...question, timeoutMs: TIMEOUT_MS });
}

function listing({ state, limit, after }: WritesCommand['action'] & { readonly kind: 'list' }) {
  const query = new URLSearchParams({ state, limit, ...(after === null ? {} : { after }) });
  return { method: 'GET', path: `/writes?${query.toString()}`, answer: LISTED } as const;
}

function about(kind: 'show' | 'retry' | 'discard', id: string): Omit<AdminQuestion, 'timeoutMs'> {
  const path = `/writes/${encodeURIComponent(id)}`;
  switch (kind) {
    case 'show':
      return { method: 'GET', path, answer: ONE };
    case 'retry':
      return { method: 'POST', path: `${path}/retry`, answer: ONE };
    case 'discard':
      return { method: 'DELETE', path, answer: ONE };
    default:
      return kind satisfies never;
  }
}

function textOf(value: unknown): string {
  const listed = (value as { readonly writes?: readonly WriteReport[] }).writes;
  if (listed === undefined) return details(value as WriteReport);
  return listed.length === 0 ? 'none\n' : listed.map(line).join('');
}

function line(write: WriteReport): string {
  const { id, state, method, url, acceptedAt, attempts, lastError, mergedInto, waitsFor } = write;
  const fate = mergedInto === null ? `attempts ${attempts}` : `merged into ${mergedInto}`;
  const before = waitsFor === null ? '' : `  waits for ${waitsFor.id} (${waitsFor.state})`;
  const error = lastError === null ? '' : `  ${lastError}`;
  const shown = mergedInto === null ? state : 'merged';
  return `${id}  ${shown}  ${acceptedAt}  ${method} ${url}  ${fate}${before}${error}\n`;
}

function details(report: WriteReport): string {
  const known = Object.entries(report).filter(([, value]) => value !== null);
  return known
    .map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}\n`)
    .join('');
}

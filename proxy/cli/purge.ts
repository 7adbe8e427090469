/** `weir purge`: invalidates through the admin side of a running Weir. */
import type { FoundEntries } from '../admin/dependencies.ts';
import { askAdmin, type Members } from './admin-client.ts';
import { findTarget, NO_OPTIONS } from './admin-target.ts';
import type { PurgeCommand } from './arguments.ts';
import type { ConfigFile } from './config-file.ts';
import { printNoTarget, printFailure } from './failure.ts';
import type { Output } from './output.ts';

export interface PurgeOptions extends Omit<ConfigFile, 'file'> {
  readonly command: PurgeCommand;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Long, because the scan of a large disk is slow. */
const TIMEOUT_MS = 60_000;
const DONE: Members = { sequence: 'number', tags: 'number' };
const FOUND: Members = { entries: 'number', sample: 'list', complete: 'boolean' };

/** Returns the exit code: 0 if the invalidation is in force and durable, else 1. */
export async function runPurge({ command, stdout, stderr, ...source }: PurgeOptions): Promise<0 | 1> {
  const { file, json, request, running = NO_OPTIONS } = command;
  const found = await findTarget(running, { ...source, file });
  if (found.kind !== 'found') {
    printNoTarget('purge', found, { json, stdout, stderr });
    return 1;
  }
  const question = {
    method: 'POST',
    path: '/purge?count=true',
    body: request,
    timeoutMs: TIMEOUT_MS,
    answer: request.dryRun ? FOUND : DONE,
  } as const;
  const answer = await askAdmin(found.target, question);
  if (answer.kind !== 'ok') {
    printFailure('purge', answer, { json, stdout, stderr });
    return 1;
  }
  const { warnings = [] } = answer.value as { readonly warnings?: readonly string[] };
  for (const warning of warnings) stderr.write(`warning: ${warning}\n`);
  if (json) stdout.write(`${JSON.stringify(answer.value)}\n`);
  else if (request.dryRun) stdout.write(foundText(answer.value as FoundEntries));
  else stdout.write(doneText(answer.value as { readonly sequence: number; readonly tags: number }));
  return 0;
}

function doneText({ sequence, tags }: { readonly sequence: number; readonly tags: number }): string {
  return `purged ${tags} ${tags === 1 ? 'tag' : 'tags'}, sequence ${sequence}\n`;
}

function foundText({ entries, sample, complete }: FoundEntries): string {
  const count = `${complete ? '' : 'at least '}${entries} ${entries === 1 ? 'entry' : 'entries'}`;
  const more = entries > sample.length && sample.length > 0 ? '  ...\n' : '';
  return `${count} would be purged\n${sample.map((url) => `  ${url}\n`).join('')}${more}`;
}

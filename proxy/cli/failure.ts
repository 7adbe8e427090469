/** Reports a failed command: as text on standard error, and with `--json` as JSON on standard output. */
import { formatDiagnostic, type Diagnostic } from '../../policies/config/diagnostic.ts';
import type { AdminAnswer } from './admin-client.ts';
import type { FoundTarget } from './admin-target.ts';
import type { Output } from './output.ts';

export interface FailureOutput {
  readonly json: boolean;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** The configuration is invalid: prints `{ok, errors, warnings}` as `weir check` does. */
export function printInvalid(errors: readonly Diagnostic[], { json, stdout, stderr }: FailureOutput): void {
  for (const error of errors) stderr.write(`${formatDiagnostic(error)}\n`);
  if (json) stdout.write(`${JSON.stringify({ ok: false, errors, warnings: [] })}\n`);
}

/** The address of the admin side is missing or invalid. */
export function printNoTarget(
  command: string,
  found: Exclude<FoundTarget, { readonly kind: 'found' }>,
  output: FailureOutput,
): void {
  if (found.kind === 'invalid') {
    printInvalid(found.errors, output);
    return;
  }
  const { message } = found;
  output.stderr.write(`weir ${command}: ${message}\n`);
  if (output.json) {
    output.stdout.write(
      `${JSON.stringify({ ok: false, errors: [{ kind: 'wrong', status: null, message }] })}\n`,
    );
  }
}

/**
 * The admin side refused or can't be reached: prints `{ok, errors: [{kind, status, message}]}` with the status of its
 * response.
 */
export function printFailure(
  command: string,
  answer: Exclude<AdminAnswer, { readonly kind: 'ok' }>,
  { json, stdout, stderr }: FailureOutput,
): void {
  const { kind, detail } = answer;
  const [status, several] = kind === 'refused' ? [answer.status, answer.errors] : [null, []];
  const messages = several.length === 0 ? [detail] : several;
  if (several.length > 0) stderr.write(`weir ${command}: ${detail}\n`);
  for (const message of messages) {
    stderr.write(several.length > 0 ? `${message}\n` : `weir ${command}: ${message}\n`);
  }
  const errors = messages.map((message) => ({ kind, status, message }));
  if (json) stdout.write(`${JSON.stringify({ ok: false, errors })}\n`);
}

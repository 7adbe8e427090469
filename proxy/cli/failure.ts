/** How a command that could not be done says so: people on standard error, and with `--json` programs on standard output. */
import { formatDiagnostic, type Diagnostic } from '../../policies/config/diagnostic.ts';
import type { AdminAnswer } from './admin-client.ts';
import type { Output } from './output.ts';

export interface Told {
  readonly json: boolean;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** The configuration is not fine: `{ok, errors, warnings}` as `weir check` prints it. */
export function tellInvalid(errors: readonly Diagnostic[], { json, stdout, stderr }: Told): void {
  for (const error of errors) stderr.write(`${formatDiagnostic(error)}\n`);
  if (json) stdout.write(`${JSON.stringify({ ok: false, errors, warnings: [] })}\n`);
}

/** The admin side refused, or could not be asked: `{ok, errors: [{kind, status, message}]}`, `status` as it answered. */
export function tellUndone(
  command: string,
  answer: Exclude<AdminAnswer, { readonly kind: 'ok' }>,
  { json, stdout, stderr }: Told,
): void {
  const { kind, detail: message } = answer;
  stderr.write(`weir ${command}: ${message}\n`);
  const status = kind === 'refused' ? answer.status : null;
  if (json) stdout.write(`${JSON.stringify({ ok: false, errors: [{ kind, status, message }] })}\n`);
}

/** `weir check`: validates the configuration and prints every error. */
import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import type { ConfigFile } from './config-file.ts';
import { readConfigFile } from './config-file.ts';
import type { Output } from './output.ts';

export interface CheckOptions extends ConfigFile {
  /** `{ok, errors, warnings}` on standard output instead of lines. */
  readonly json: boolean;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Returns the exit code: 0 if the configuration is valid, else 1. */
export async function runCheck({ json, stdout, stderr, ...source }: CheckOptions): Promise<0 | 1> {
  const loaded = await readConfigFile(source);
  const ok = loaded.kind === 'ok';
  const errors = ok ? [] : loaded.errors;
  const warnings = ok ? loaded.warnings : [];
  if (json) {
    stdout.write(`${JSON.stringify({ ok, errors, warnings })}\n`);
    return ok ? 0 : 1;
  }
  for (const error of errors) stderr.write(`${formatDiagnostic(error)}\n`);
  for (const warning of warnings) stderr.write(`warning: ${formatDiagnostic(warning)}\n`);
  if (ok) {
    const { length } = loaded.config.routes;
    stdout.write(`${source.file}: valid, ${length} ${length === 1 ? 'route' : 'routes'}\n`);
  }
  return ok ? 0 : 1;
}

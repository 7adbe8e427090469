/**
 * Embeds Weir in another program, which starts, reloads and stops it. Weir leaves signals and standard error to the
 * program.
 */
import { resolve } from 'node:path';
import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import { loadConfig, type LoadedConfig } from '../../policies/config/load.ts';
import { systemClock } from '../threads/clock.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { createLog, logTo, STANDARD_OUTPUT, type LogLines } from '../observability/logger.ts';
import { ALL_MECHANISMS } from '../mechanisms.ts';
import { version } from '../version.ts';
import { Coordinator } from './coordinator.ts';

export interface StartOptions {
  /** The text of the configuration, as in a file. */
  readonly yaml: string;
  /** The base of relative paths in the configuration; the default is the working directory. */
  readonly directory?: string;
  /** The variables for `${NAME}`; the default is the environment of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Receives the coordinator's log lines; the default is standard output. Workers always log to standard output. */
  readonly log?: LogLines;
}

export interface EmbeddedWeir {
  readonly port: number;
  readonly adminPort: number;
  /** Puts another configuration in force; nothing under way is dropped. */
  reload(yaml: string): Promise<Reloading>;
  /** Resolves, when everything is closed, with the number of requests that were cut after `graceMs`. */
  stop(graceMs?: number): Promise<number>;
}

export type Started =
  | { readonly kind: 'running'; readonly weir: EmbeddedWeir }
  /** All errors, for an operator. */
  | { readonly kind: 'failed'; readonly errors: readonly string[] };

export type Reloading =
  | { readonly kind: 'reloaded'; readonly invalidatedRoutes: readonly string[] }
  /** Nothing was changed. */
  | { readonly kind: 'refused'; readonly errors: readonly string[] };

export async function start({
  yaml,
  directory = process.cwd(),
  env = process.env,
  log: lines,
}: StartOptions): Promise<Started> {
  const load = (text: string): LoadedConfig => {
    const source = { text, file: 'weir.yaml', directory: resolve(directory), env };
    return loadConfig({ ...source, feedTypes: FEED_TYPES });
  };
  const loaded = load(yaml);
  if (loaded.kind === 'invalid') return { kind: 'failed', errors: loaded.errors.map(formatDiagnostic) };
  const { config } = loaded;
  const { level } = config.log;
  const thread = 'coordinator';
  const log =
    lines === undefined ? createLog({ level, thread, fd: STANDARD_OUTPUT }) : logTo(lines, level, thread);
  const deps = { config, clock: systemClock, mechanisms: ALL_MECHANISMS, log, version: version() };
  const started = await Coordinator.start(deps);
  if (started.kind === 'failed') return { kind: 'failed', errors: [started.reason] };
  const { coordinator, port, adminPort } = started;
  return {
    kind: 'running',
    weir: {
      port,
      adminPort,
      reload: async (text) => {
        const again = load(text);
        if (again.kind === 'invalid') return { kind: 'refused', errors: again.errors.map(formatDiagnostic) };
        const result = await coordinator.reload(again.config);
        return result.kind === 'refused' ? { kind: 'refused', errors: result.reasons } : result;
      },
      stop: (graceMs = coordinator.config.listen.stopTimeoutMs) => coordinator.stop(graceMs),
    },
  };
}

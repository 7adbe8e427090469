import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import type { Config } from '../../policies/config/config.ts';
import { readConfigFile } from '../cli/config-file.ts';
import type { Output } from '../cli/output.ts';
import { systemClock } from '../clock.ts';
import { FEED_SCHEMAS, NOT_YET } from '../composition.ts';
import { createLog, STANDARD_OUTPUT, type Log } from '../log/logger.ts';
import { ALL_MECHANISMS } from '../mechanisms.ts';
import { version } from '../version.ts';
import { Coordinator } from './coordinator.ts';

export interface ServeOptions {
  readonly file: string;
  /** Of the process, unless a test gives others. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stderr?: Output;
}

/**
 * `weir serve`: runs until SIGTERM or SIGINT, reloads on SIGHUP. Resolves with the exit code; a second signal ends the
 * process at once.
 */
export async function serve(options: ServeOptions): Promise<0 | 1> {
  const { file, env = process.env, stderr = process.stderr } = options;
  const read = (): ReturnType<typeof readConfigFile> =>
    readConfigFile({ file, env, feedSchemas: FEED_SCHEMAS, notYet: NOT_YET });
  const signals = watchSignals();
  const loaded = await read();
  if (loaded.kind === 'invalid') {
    for (const error of loaded.errors) stderr.write(`${formatDiagnostic(error)}\n`);
    return 1;
  }
  for (const warning of loaded.warnings) stderr.write(`${formatDiagnostic(warning)}\n`);
  const { config } = loaded;
  const log = createLog({ level: config.log.level, thread: 'coordinator', fd: STANDARD_OUTPUT });
  const started = await Coordinator.start({
    config,
    clock: systemClock,
    mechanisms: ALL_MECHANISMS,
    log,
    version: version(),
  });
  if (started.kind === 'failed') {
    stderr.write(`weir: ${started.reason}\n`);
    return 1;
  }
  const { coordinator, port, adminPort } = started;
  log.info({ event: 'listening', host: config.listen.host, port, adminHost: config.admin.host, adminPort });
  // For whoever started it by hand: standard output is the log, one line of JSON an event.
  stderr.write(banner(config, port, adminPort));
  const reload = async (): Promise<void> => {
    const again = await read();
    if (again.kind === 'invalid') {
      log.error(
        { event: 'reload-refused', errors: again.errors.map(formatDiagnostic) },
        'the configuration was not reloaded: the old one stays in force',
      );
      return;
    }
    const result = await coordinator.reload(again.config);
    if (result.kind === 'refused') {
      log.error({ event: 'reload-refused', errors: result.reasons }, 'the configuration was not reloaded');
    } else log.info({ event: 'reloaded', invalidatedRoutes: result.invalidatedRoutes });
  };
  // One after the other: the last one asked for is the one in force.
  let reloaded = Promise.resolve();
  signals.onHangup(() => {
    reloaded = reloaded
      .then(reload)
      .catch((error: unknown) => log.error({ event: 'reload-failed', err: error }));
  });
  const signal = await signals.stop;
  log.info({ event: 'stopping', signal });
  await reloaded;
  const cut = await coordinator.stop(coordinator.config.listen.stopTimeoutMs);
  logStopped(log, cut);
  return 0;
}

interface Signals {
  /** Resolves when the process is told to end. */
  readonly stop: Promise<NodeJS.Signals>;
  /** What SIGHUP asks for, from now on, and at once where it was asked for before. */
  onHangup(listener: () => void): void;
}

/** From the first moment on, so that no signal ends a process that is starting. A second one to stop does. */
function watchSignals(): Signals {
  const { promise: stop, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let isStopping = false;
  let onHangup: (() => void) | null = null;
  let isAskedEarly = false;
  const end = (signal: NodeJS.Signals): void => {
    if (isStopping) process.exit(1);
    isStopping = true;
    resolve(signal);
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  process.on('SIGHUP', () => {
    if (onHangup === null) isAskedEarly = true;
    else onHangup();
  });
  return {
    stop,
    onHangup(listener) {
      onHangup = listener;
      if (isAskedEarly) listener();
    },
  };
}

function logStopped(log: Log, cut: number): void {
  if (cut > 0) log.warn({ event: 'stopped', cut }, 'requests under way were cut');
  else log.info({ event: 'stopped' });
}

function banner(config: Config, port: number, adminPort: number): string {
  const main = `http://${hostInUrl(config.listen.host)}:${port}`;
  const admin = `http://${hostInUrl(config.admin.host)}:${adminPort}`;
  const isDemo = Object.values(config.origins).some(({ urls }) => urls.includes('demo:'));
  const lines = [`Weir listens on ${main}, its admin side on ${admin}.`];
  if (isDemo) {
    lines.push(
      '',
      'Try, twice each, and look at Cache-Status:',
      `  curl -i ${main}/products/1`,
      `  curl -i ${main}/search?q=lamp`,
      'Change a product, and see that nothing stale is served:',
      `  curl -i -X PUT -H 'Content-Type: application/json' -d '{"name":"New name"}' ${main}/products/1`,
      'Purge by tag, and see what was counted:',
      `  curl -X POST -H 'Content-Type: application/json' -d '{"tags":["product:1"]}' ${admin}/purge`,
      `  curl ${admin}/stats`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function hostInUrl(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

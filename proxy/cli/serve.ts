import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import type { Config } from '../../policies/config/config.ts';
import type { LoadedConfig } from '../../policies/config/load.ts';
import type { ReloadAnswer } from '../admin/dependencies.ts';
import { readConfigFile } from './config-file.ts';
import type { Output } from './output.ts';
import { secondsOf, systemClock } from '../threads/clock.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { missingPackages } from '../feeds/packages.ts';
import { createLog, STANDARD_OUTPUT, type Log } from '../observability/logger.ts';
import { ALL_MECHANISMS } from '../mechanisms.ts';
import { version } from '../version.ts';
import { Coordinator } from '../runtime/coordinator.ts';
import { tuneHeaps } from '../runtime/process-memory.ts';
import { watchSignals } from '../runtime/signals.ts';
import { waitsForText } from '../admin/waits-for.ts';

export interface ServeOptions {
  readonly file: string;
  /** `--distrust`: the disk path was restored. */
  readonly distrust?: boolean;
  /** The environment of the process, unless a test passes another. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stderr?: Output;
}

/**
 * `weir serve`: runs until SIGTERM or SIGINT, reloads on SIGHUP. Resolves with the exit code; a second signal ends the
 * process at once.
 */
export async function serve(options: ServeOptions): Promise<0 | 1> {
  const { file, distrust = false, env = process.env, stderr = process.stderr } = options;
  const read = (): ReturnType<typeof readConfigFile> =>
    readConfigFile({ file, env, feedTypes: FEED_TYPES, missingPackages });
  const signals = watchSignals();
  const loaded = await read();
  if (loaded.kind === 'invalid') {
    for (const error of loaded.errors) stderr.write(`${formatDiagnostic(error)}\n`);
    return 1;
  }
  for (const warning of loaded.warnings) stderr.write(`warning: ${formatDiagnostic(warning)}\n`);
  const { config } = loaded;
  const log = createLog({ level: config.log.level, thread: 'coordinator', fd: STANDARD_OUTPUT });
  let coordinator: Coordinator | null = null;
  const reload = inTurn(async (): Promise<ReloadAnswer> => {
    const answer = coordinator === null ? NOT_RUNNING : await reloadFrom(await read(), coordinator);
    reportReload(answer, log, stderr);
    return answer;
  });
  tuneHeaps(config.cache);
  const started = await Coordinator.start({
    config,
    clock: systemClock,
    mechanisms: ALL_MECHANISMS,
    log,
    version: version(),
    distrust,
    control: {
      reload,
      stop: () => {
        signals.end('admin');
        const { stopTimeoutMs } = (coordinator?.config ?? config).listen;
        return { pid: process.pid, graceSeconds: secondsOf(stopTimeoutMs) };
      },
    },
  });
  if (started.kind === 'failed') {
    stderr.write(`weir: ${started.reason}\n`);
    return 1;
  }
  coordinator = started.coordinator;
  const { port, adminPort } = started;
  log.info({ event: 'listening', host: config.listen.host, port, adminHost: config.admin.host, adminPort });
  // The banner is for an interactive start. It goes to standard error, because standard output is the log in JSON.
  stderr.write(banner(config, port, adminPort));
  signals.onHangup(() => {
    reload().catch((error: unknown) => log.error({ event: 'reload-failed', err: error }));
  });
  const cause = await signals.stop;
  log.info({ event: 'stopping', signal: cause });
  stderr.write(`weir: stopping (${cause}); a second signal stops it at once\n`);
  await reload.settled();
  const graceMs = coordinator.config.listen.stopTimeoutMs;
  const deadlineMs = performance.now() + graceMs;
  const cut = await coordinator.stop(graceMs, (waitsFor) => {
    const leftSeconds = Math.max(0, Math.ceil((deadlineMs - performance.now()) / 1000));
    const text = waitsForText(waitsFor, leftSeconds);
    if (text === null) return;
    log.info({ event: 'stop-waiting', ...waitsFor, leftSeconds });
    stderr.write(`weir: ${text}\n`);
  });
  logStopped(log, cut);
  if (cut > 0) stderr.write(`weir: stopped; requests in progress that were cut: ${cut}\n`);
  return 0;
}

const NOT_RUNNING: ReloadAnswer = { kind: 'refused', errors: ['Weir has not started yet'] };

async function reloadFrom(loaded: LoadedConfig, coordinator: Coordinator): Promise<ReloadAnswer> {
  if (loaded.kind === 'invalid') return { kind: 'refused', errors: loaded.errors.map(formatDiagnostic) };
  const result = await coordinator.reload(loaded.config);
  if (result.kind === 'refused') return { kind: 'refused', errors: result.reasons };
  const { invalidatedRoutes } = result;
  return { kind: 'reloaded', invalidatedRoutes, warnings: loaded.warnings.map(formatDiagnostic) };
}

/** Reports a reload in the log, and as text on standard error. */
function reportReload(answer: ReloadAnswer, log: Log, stderr: Output): void {
  if (answer.kind === 'reloaded') {
    for (const warning of answer.warnings) stderr.write(`warning: ${warning}\n`);
    log.info({ event: 'reloaded', invalidatedRoutes: answer.invalidatedRoutes });
    return;
  }
  const { errors } = answer;
  for (const error of errors) stderr.write(`${error}\n`);
  stderr.write('weir: the configuration was not reloaded; the old one stays in force\n');
  log.error(
    { event: 'reload-refused', errors },
    'the configuration was not reloaded; the old one stays in force',
  );
}

/**
 * Runs reloads one after another, so that the last one requested is in force. `settled` resolves when none is in progress.
 */
function inTurn<Result>(
  work: () => Promise<Result>,
): (() => Promise<Result>) & { settled(): Promise<unknown> } {
  let last: Promise<unknown> = Promise.resolve();
  const next = (): Promise<Result> => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
  return Object.assign(next, { settled: () => last });
}

function logStopped(log: Log, cut: number): void {
  if (cut > 0) log.warn({ event: 'stopped', cut }, 'requests in progress were cut');
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
      'Run each of these twice and compare Cache-Status:',
      `  curl -i ${main}/products/1`,
      `  curl -i ${main}/search?q=lamp`,
      'Change a product and request it again: the response is not stale:',
      `  curl -i -X PUT -H 'Content-Type: application/json' -d '{"name":"New name"}' ${main}/products/1`,
      'Purge by tag and show the counters:',
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

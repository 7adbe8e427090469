/** Parses the command line, runs the command and returns the exit code: 0 success, 1 failure, 2 wrong usage. */
import type { Environment } from '../../policies/config/environment.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { missingPackages } from '../feeds/packages.ts';
import { version } from '../version.ts';
import { readArguments } from './arguments.ts';
import { runCheck } from './check.ts';
import { runExplain } from './explain.ts';
import { runExplainEvent } from './explain-event.ts';
import type { Output } from './output.ts';
import { runPurge } from './purge.ts';
import { runReload, runStop } from './control.ts';
import { runSchema } from './schema.ts';
import { runWrites } from './writes.ts';
import { usageOf } from './usage.ts';

/** What the process provides to the program. */
export interface Surroundings {
  readonly env: Environment;
  readonly stdout: Output;
  readonly stderr: Output;
}

export interface MainOptions extends Surroundings {
  /** Without the program and the script. */
  readonly argv: readonly string[];
  /** Runs until a signal or the admin side stops it. Resolves with the exit code. */
  serve(options: Surroundings & { readonly file: string; readonly distrust: boolean }): Promise<number>;
}

export async function main({ argv, env, stdout, stderr, serve }: MainOptions): Promise<number> {
  const command = readArguments(argv);
  const source = { env, feedTypes: FEED_TYPES };
  switch (command.kind) {
    case 'serve':
      return serve({ file: command.file, distrust: command.distrust, env, stdout, stderr });
    case 'check':
      return runCheck({ ...source, missingPackages, file: command.file, json: command.json, stdout, stderr });
    case 'explain':
      return runExplain({ ...source, command, stdout, stderr });
    case 'explain-event':
      return runExplainEvent({ ...source, command, stdout, stderr });
    case 'purge':
      return runPurge({ ...source, command, stdout, stderr });
    case 'writes':
      return runWrites({ ...source, command, stdout, stderr });
    case 'reload':
      return runReload({ ...source, command, stdout, stderr });
    case 'stop':
      return runStop({ ...source, command, stdout, stderr });
    case 'schema':
      return runSchema({ feedTypes: FEED_TYPES, stdout });
    case 'version':
      stdout.write(`${version()}\n`);
      return 0;
    case 'help':
      stdout.write(usageOf(command.command));
      return 0;
    case 'wrong':
      stderr.write(`weir: ${command.message}\n\n${usageOf(command.command)}`);
      return 2;
    default:
      return command satisfies never;
  }
}

/** Finds the address and the token of a running Weir's admin API in the command line, the environment or a file. */
import type { AdminConfig } from '../../policies/config/config.ts';
import type { Diagnostic } from '../../policies/config/diagnostic.ts';
import type { Environment } from '../../policies/config/environment.ts';
import { readAdminConfig, type ConfigFile } from './config-file.ts';

export interface AdminTarget {
  /** Without a final slash. */
  readonly url: string;
  /** Empty if no token is sent. */
  readonly token: string;
}

/** The options of a command line that select the running Weir. */
export interface RunningOptions {
  /** `--admin`, without a final slash; null if it was not given. */
  readonly admin: string | null;
  /** `--token`; null if it was not given. */
  readonly token: string | null;
  /** `--config` was given, which outranks `WEIR_ADMIN`. */
  readonly isFileNamed: boolean;
}

export const NO_OPTIONS: RunningOptions = { admin: null, token: null, isFileNamed: false };

export type FoundTarget =
  | { readonly kind: 'found'; readonly target: AdminTarget }
  | { readonly kind: 'invalid'; readonly errors: readonly Diagnostic[] }
  /** `message` is one line, such as that `WEIR_ADMIN` is not a URL. */
  | { readonly kind: 'wrong'; readonly message: string };

/**
 * Finds the admin side by `--admin`, else by `WEIR_ADMIN`. Null if only the configuration file can name it. The token of
 * a file is sent only to the address in the same file.
 */
export function namedTarget(
  { admin, token, isFileNamed }: RunningOptions,
  env: Environment,
): Exclude<FoundTarget, { readonly kind: 'invalid' }> | null {
  const fromEnvironment = isFileNamed ? '' : (env['WEIR_ADMIN'] ?? '');
  if (admin === null && fromEnvironment === '') return null;
  const url = admin ?? readAdminUrl(fromEnvironment);
  if (url === null) {
    return { kind: 'wrong', message: `WEIR_ADMIN: ${ADMIN_URL}, got ${JSON.stringify(fromEnvironment)}` };
  }
  return { kind: 'found', target: { url, token: token ?? env['WEIR_ADMIN_TOKEN'] ?? '' } };
}

/** Reads the file only if neither `--admin` nor `WEIR_ADMIN` names the admin side. */
export async function findTarget(running: RunningOptions, source: ConfigFile): Promise<FoundTarget> {
  const named = namedTarget(running, source.env);
  if (named !== null) return named;
  const loaded = await readAdminConfig(source);
  if (loaded.kind === 'invalid') return loaded;
  return { kind: 'found', target: targetOf(loaded.admin, running, source.env) };
}

export function targetOf(admin: AdminConfig, { token }: RunningOptions, env: Environment): AdminTarget {
  const own = admin.token === '' ? (env['WEIR_ADMIN_TOKEN'] ?? '') : admin.token;
  return { url: urlOf(admin), token: token ?? own };
}

export const ADMIN_URL =
  'expected an http(s) URL without query or credentials, such as http://127.0.0.1:8081';

/** Null if the text is not a valid URL of an admin side. */
export function readAdminUrl(written: string): string | null {
  const url = URL.parse(written);
  if (url === null || !/^https?:\/\//i.test(written)) return null;
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return null;
  const path = url.pathname;
  let end = path.length;
  while (path[end - 1] === '/') end -= 1;
  return `${url.origin}${path.slice(0, end)}`;
}

/** The URL at which this machine reaches the admin side. */
function urlOf({ host, port }: AdminConfig): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

/** What `weir serve` tells whoever started it, on standard error, once it listens: standard output is for the log. */
import type { Config } from '../../policies/config/config.ts';

export interface Listening {
  readonly config: Config;
  readonly version: string;
  readonly workers: number;
  /** The ports taken, where any free one was asked for. */
  readonly port: number;
  readonly adminPort: number;
}

/** Lines for people, the last with its line feed. */
export function banner({ config, version, workers, port, adminPort }: Listening): string {
  const site = urlOf(config.listen.tls === null ? 'http' : 'https', config.listen.host, port);
  const admin = urlOf('http', config.admin.host, adminPort);
  const origins = Object.values(config.origins).map(
    ({ name, urls }) => `${name} (${urls.map(shown).join(', ')})`,
  );
  const lines = [
    `weir ${version}: ${site}, ${workers} ${workers === 1 ? 'worker' : 'workers'}, in front of ${origins.join(', ')}`,
    `admin: ${admin}${config.admin.token === '' ? '' : ', with the token'}   configuration: ${config.file}`,
    ...(isDemo(config) ? tryNext(site, admin, config.admin.token) : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** As clients of this machine reach it. */
export function urlOf(scheme: 'http' | 'https', host: string, port: number): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${scheme}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

function isDemo({ origins }: Config): boolean {
  return Object.values(origins).some(({ urls }) => urls.includes('demo:'));
}

function tryNext(site: string, admin: string, token: string): string[] {
  const authorization = token === '' ? '' : ' -H "Authorization: Bearer $WEIR_ADMIN_TOKEN"';
  return [
    'Try next:',
    `  curl -i ${site}/products/1     twice: see Cache-Status and Age`,
    `  curl -X POST ${admin}/purge${authorization} -d '{"tags":["product:1"]}'     and the first again`,
    `  curl ${admin}/stats${authorization}`,
    '  WEIR_ORIGIN=http://127.0.0.1:3000 npm start     in front of your own application',
  ];
}

/** Without what may be a password. */
function shown(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//');
}

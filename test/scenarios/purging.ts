/** Shared by tests of purges: an origin whose every path has a version, and an operator's purges. */
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';

export interface VersionedOrigin extends ScriptedOrigin {
  /**
   * Each answer is `PATH VERSION`, may be stored for an hour, and has an ETag and the tags `secret` and
   * `of-PATH`.
   */
  change(path: string): void;
  versionOf(path: string): number;
  /** Additional fields of answers; none at first. */
  more: readonly string[];
  /** Awaited before each answer. */
  wait: () => Promise<void>;
}

export async function startVersionedOrigin(): Promise<VersionedOrigin> {
  const versions = new Map<string, number>();
  const origin = await startScriptedOrigin();
  const versionOf = (path: string): number => versions.get(path) ?? 0;
  const versioned: VersionedOrigin = Object.assign(origin, {
    versionOf,
    change: (path: string) => void versions.set(path, versionOf(path) + 1),
    more: [] as readonly string[],
    wait: async () => {},
  });
  origin.on('*', async ({ url, headers, method }) => {
    const version = versionOf(url);
    await versioned.wait();
    if (method !== 'GET' && method !== 'HEAD') return { status: 204 };
    const etag = `"${version}"`;
    const tags = `secret of-${url.slice(1).replaceAll('/', '-')}`;
    const fields = ['Cache-Control', 'max-age=3600', 'ETag', etag, 'Surrogate-Key', tags, ...versioned.more];
    if (headers['if-none-match']?.includes(etag)) return { status: 304, fields };
    return { fields, body: `${url} ${version}` };
  });
  return versioned;
}

export async function purge(weir: RunningWeir, body: object): Promise<Record<string, unknown>> {
  const answer = await weir.admin('/purge', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Record<string, unknown>;
}

/** The answers to a GET on each of several connections, and so of every worker. */
export async function seen(weir: RunningWeir, path: string, times = 6): Promise<Set<string>> {
  const answers = await Promise.all(Array.from({ length: times }, () => ask(`${weir.url}${path}`)));
  return new Set(answers.map(({ status, body }) => (status === 200 ? body : String(status))));
}

/**
 * Whether a GET is answered without the origin: from an entry, or from the end of another worker's flight.
 */
export async function isHit(weir: RunningWeir, path: string): Promise<boolean> {
  const status = cacheStatusOf(await ask(`${weir.url}${path}`));
  return status['hit'] === true || status['collapsed'] === true;
}

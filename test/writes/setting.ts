import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

export interface Setting {
  /** Keys of the route's `write` in addition to the policy. */
  readonly write?: string;
  readonly policy?: string;
  readonly cache?: string;
  /** Keys of the origin. */
  readonly origin?: string;
  /** Top-level keys. */
  readonly more?: string;
  /** Further routes, and routes before the one. */
  readonly routes?: readonly string[];
  readonly before?: readonly string[];
  /** More origins, by name, at the same URL. */
  readonly origins?: (url: string) => Readonly<Record<string, string>>;
}

/** A real Weir in front of a scripted origin, with one route for the writes of the test. */
export interface Scene {
  readonly origin: ScriptedOrigin;
  weir: RunningWeir;
  send(method: string, path: string, body?: string, headers?: Record<string, string>): Promise<Response>;
  get(path: string): Promise<Response>;
  text(path: string): Promise<string>;
  write(id: string): Promise<Record<string, unknown>>;
  /** All writes in a state. */
  writes(state: string): Promise<readonly Record<string, unknown>[]>;
  stats(): Promise<Record<string, number>>;
  /** Starts Weir again with its files, with another setting if one is given. */
  restart(setting?: Setting): Promise<void>;
  /** Makes Weir read its configuration again. */
  reload(setting: Setting): Promise<void>;
  close(): Promise<void>;
}

export async function startScene(setting: Setting = {}): Promise<Scene> {
  const origin = await startScriptedOrigin();
  const yaml = (of: Setting): string => `
    origins:
      shop: { url: "${origin.url}"${of.origin ?? ''} }
${lines(Object.entries(of.origins?.(origin.url) ?? {}).map(([name, text]) => `${name}: ${text}`))}
    ${of.more ?? ''}
    routes:
${lines(of.before ?? [])}
      - { name: item, match: "/items/{id}", origin: shop, cache: { freshness: headers${of.cache ?? ''} }, write: { policy: ${of.policy ?? 'behind'}${of.write ?? ''} } }
${lines(of.routes ?? [])}
      - { name: rest, match: /*, origin: shop, cache: { freshness: headers } }`;
  let weir = await startWeir(yaml(setting));
  const json = async (path: string): Promise<Record<string, unknown>> =>
    (await (await weir.admin(path)).json()) as Record<string, unknown>;
  return {
    origin,
    get weir() {
      return weir;
    },
    send: (method, path, body, headers = {}) =>
      fetch(`${weir.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) }),
    get: (path) => fetch(`${weir.url}${path}`),
    text: async (path) => (await fetch(`${weir.url}${path}`)).text(),
    write: (id) => json(`/writes/${id}`),
    writes: async (state) => (await json(`/writes?state=${state}`))['writes'] as Record<string, unknown>[],
    stats: async () => (await json('/stats'))['writes'] as Record<string, number>,
    async restart(of = setting) {
      const { folder } = weir;
      await weir.stop({ keep: true });
      weir = await startWeir(yaml(of), { folder });
    },
    reload: (of) => weir.reload(yaml(of)),
    async close() {
      await weir.stop();
      await origin.close();
    },
  };
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `      ${text}`).join('\n');
}

export function idOf(response: Response): string {
  return response.headers.get('weir-write') ?? '';
}

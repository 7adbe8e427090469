/** Tests that an invalidation of a name reaches the entries with the name, in any encoding of either. */
import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPlace, type Place } from '../cli/support.ts';
import { signedDelivery, webhookSecret } from '../feeds/deliveries.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { cacheStatusOf, readAll, type Answer } from './client.ts';

const NAMES = [
  ['ASCII', 'moebel'],
  ['an umlaut', 'm\u00f6bel'],
  ['an emoji', '\u{1f6cb}'],
] as const;

/** Each encoding in which a client or an origin sends a name; one character a byte. */
function spellings(name: string): string[] {
  const inUtf8 = [name, name.normalize('NFD')].map((form) => Buffer.from(form).toString('latin1'));
  return [...new Set(/^[\0-\xff]*$/.test(name) ? [...inUtf8, name] : inUtf8)];
}

const escaped = (bytes: string): string =>
  [...bytes].map((byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');

/** The name as text in JSON, arguments and configurations: composed and decomposed. */
const texts = (name: string): string[] => [...new Set([name, name.normalize('NFD')])];

interface Entry {
  readonly what: string;
  readonly path: string;
  readonly source: 'field' | 'group' | 'route' | 'path' | 'prefix';
  /** Fields of the origin's answer. */
  readonly fields: readonly string[];
}

function entriesOf(name: string): Entry[] {
  const entries: Entry[] = [];
  const add = (what: string, source: Entry['source'], path: string, fields: readonly string[] = []): void =>
    void entries.push({ what, source, path, fields });
  spellings(name).forEach((bytes, i) => {
    const at = (source: string): string =>
      `/tagged/${source}/${Buffer.from(bytes, 'latin1').toString('hex')}`;
    add(`Surrogate-Key ${i}`, 'field', at('surrogate-key'), ['Surrogate-Key', `a kind:${bytes} b`]);
    add(`Cache-Tag ${i}`, 'field', at('cache-tag'), ['Cache-Tag', `a, kind:${bytes},b`]);
    add(`xkey ${i}`, 'field', at('xkey'), ['xkey', `kind:${bytes}`]);
    add(`Cache-Groups ${i}`, 'group', at('groups'), ['Cache-Groups', `"a", "kind:${bytes}"`]);
    add(`path ${i}`, 'path', `/kinds/${escaped(bytes)}`);
    add(`prefix ${i}`, 'prefix', `/below/${escaped(bytes)}/page`);
  });
  const display = `%"kind:${escaped(Buffer.from(name).toString('latin1'))}"`;
  add('Cache-Groups, a Display String', 'group', `/tagged/display/${Buffer.from(name).toString('hex')}`, [
    'Cache-Groups',
    display,
  ]);
  texts(name).forEach((text, i) => add(`the route's tags ${i}`, 'route', routePath(name, text)));
  return entries;
}

const routePath = (name: string, text: string): string =>
  `/route/${Buffer.from(name).toString('hex')}/${Buffer.from(text).toString('hex')}`;

const OTHER: Entry = {
  what: 'another name',
  source: 'field',
  path: '/tagged/other',
  fields: ['Surrogate-Key', 'kind:M\u00f6bel kind:mobel kind:moebe'],
};

interface Way {
  readonly what: string;
  readonly reaches: readonly Entry['source'][];
  /** The forms in which it can contain the name, each used once. */
  readonly forms: (name: string) => readonly string[];
  readonly invalidate: (form: string) => Promise<void>;
}

const BY_TAG = ['field', 'group', 'route', 'path', 'prefix'] as const;
const escapes = (name: string): string[] => spellings(name).map(escaped);

const INVALIDATIONS: readonly Way[] = [
  {
    what: "an operator's purge of the tag",
    reaches: BY_TAG,
    forms: texts,
    invalidate: (form) => purge({ tags: [`kind:${form}`] }),
  },
  {
    what: 'weir purge --tag',
    reaches: BY_TAG,
    forms: texts,
    invalidate: (form) => command('--tag', `kind:${form}`),
  },
  { what: "a feed's change", reaches: BY_TAG, forms: texts, invalidate: (form) => change('tags', form) },
  ...(['around', 'through', 'behind'] as const).map((policy) => ({
    what: `a write ${policy} whose route names the tag`,
    reaches: BY_TAG,
    forms: escapes,
    invalidate: (form: string) => write(`/${policy}/${form}`),
  })),
  {
    what: 'Cache-Group-Invalidation',
    reaches: ['group'],
    forms: spellings,
    invalidate: async (bytes) => {
      origin.on('/grouping', { status: 204, fields: ['Cache-Group-Invalidation', `"kind:${bytes}"`] });
      await write('/grouping');
    },
  },
  {
    what: "an operator's purge of the URL",
    reaches: ['path'],
    forms: (name) => [...texts(name), ...escapes(name)],
    invalidate: (form) => purge({ urls: [`/kinds/${form}`] }),
  },
  {
    what: 'weir purge --url',
    reaches: ['path'],
    forms: texts,
    invalidate: (form) => command('--url', `/kinds/${form}`),
  },
  {
    what: "a feed's change that maps to the URL",
    reaches: ['path'],
    forms: texts,
    invalidate: (form) => change('urls', form),
  },
  {
    what: 'PURGE of the URL',
    reaches: ['path'],
    forms: escapes,
    invalidate: async (form) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      expect((await send(`/kinds/${form}`, { method: 'PURGE', headers })).status).toBe(200);
    },
  },
  {
    what: 'an unsafe request to the URL',
    reaches: ['path'],
    forms: escapes,
    invalidate: (form) => write(`/kinds/${form}`),
  },
  {
    what: "the Location of a write's answer",
    reaches: ['path'],
    forms: (name) => [...spellings(name), ...escapes(name)],
    invalidate: async (form) => {
      origin.on('/creating', { status: 201, fields: ['Location', `/kinds/${form}`] });
      await write('/creating');
    },
  },
  {
    what: "an operator's purge of the prefix",
    reaches: ['prefix'],
    forms: (name) => [...texts(name), ...escapes(name)],
    invalidate: (form) => purge({ prefixes: [`/below/${form}`] }),
  },
  {
    what: 'weir purge --prefix',
    reaches: ['prefix'],
    forms: texts,
    invalidate: (form) => command('--prefix', `/below/${form}`),
  },
  {
    what: "a feed's change that maps to the prefix",
    reaches: ['prefix'],
    forms: texts,
    invalidate: (form) => change('prefixes', form),
  },
];

const TOKEN = 'a-token-of-tests';
const agent = new Agent({ keepAlive: true });
let origin: ScriptedOrigin;
let weir: RunningWeir;
let place: Place;
let version = 0;

beforeAll(async () => {
  place = await newPlace();
  origin = await startScriptedOrigin();
  const entries = new Map<string, Entry>([[OTHER.path, OTHER]]);
  for (const [, name] of NAMES) for (const entry of entriesOf(name)) entries.set(entry.path, entry);
  origin.on('*', ({ method, url }) => {
    if (method !== 'GET') return { status: 204 };
    const fields = ['Cache-Control', 'max-age=3600', ...(entries.get(url)?.fields ?? [])];
    return { fields, body: String(version) };
  });
  const kind = '"kind:{kind}"';
  const named = NAMES.flatMap(([, name]) => texts(name).map((text) => [name, text] as const));
  weir = await startWeir(`
    listen: { port: 0, workers: 1 }
    admin: { port: 0, token: ${TOKEN} }
    origins: { app: { url: "${origin.url}" } }
    feeds:
      hooks:
        type: webhook
        path: /hooks
        secret: "${webhookSecret}"
        map:
          - { when: { by: tags }, invalidate: { tags: [${kind}] } }
          - { when: { by: urls }, invalidate: { urls: ["/kinds/{kind}"] } }
          - { when: { by: prefixes }, invalidate: { prefixes: ["/below/{kind}"] } }
    routes:
      - { match: "/kinds/{kind}", cache: { tags: [${kind}] } }
      - { match: "/below/{kind}/page", cache: { tags: [${kind}] } }
      - { match: "/around/{kind}", write: { invalidate: { tags: [${kind}] } } }
      - { match: "/through/{kind}", write: { policy: through, invalidate: { tags: [${kind}] } } }
      - { match: "/behind/{kind}", write: { policy: behind, invalidate: { tags: [${kind}] } } }
${named.map(([name, text]) => `      - { match: "${routePath(name, text)}", cache: { tags: ["kind:${text}"] } }`).join('\n')}
      - { match: "/*" }`);
});

afterAll(async () => {
  agent.destroy();
  await weir?.stop();
  await origin.close();
  await place.remove();
});

/** `path`: one character a byte, as it is sent. */
function send(
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: weir.port, path, method, headers, agent });
    sent.once('error', reject);
    sent.once('response', (message) => resolve(readAll(message)));
    sent.end();
  });
}

async function write(path: string): Promise<void> {
  const answer = await send(path, { method: 'PUT', headers: { prefer: 'wait=20', 'content-length': '0' } });
  expect(answer.status).toBeOneOf([201, 204]);
}

async function change(by: string, kind: string): Promise<void> {
  const { fields, body } = signedDelivery({ by, kind });
  const headers: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) headers.push([fields[i]!, fields[i + 1]!]);
  const answer = await fetch(`${weir.url}/hooks`, { method: 'POST', body: Buffer.from(body), headers });
  expect(answer.status).toBe(204);
}

async function purge(selection: object): Promise<void> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const body = JSON.stringify(selection);
  expect((await weir.admin('/purge', { method: 'POST', headers, body })).status).toBe(200);
}

async function command(...args: readonly string[]): Promise<void> {
  const ran = await place.weir(['purge', ...args, '--admin', weir.adminUrl, '--token', TOKEN]);
  expect(ran).toMatchObject({ code: 0 });
}

/** The version that each entry answers with, and whether it came from the cache. */
async function look(entries: readonly Entry[]): Promise<Record<string, string>> {
  const seen: Record<string, string> = {};
  for (const { what, path } of entries) {
    const answer = await send(path);
    const isHit = cacheStatusOf(answer)['hit'] === true;
    seen[what] = `${isHit ? 'hit' : 'fetched'} ${answer.body}`;
  }
  return seen;
}

const all = (entries: readonly Entry[], seen: string): Record<string, string> =>
  Object.fromEntries(entries.map(({ what }) => [what, seen]));

describe.each(NAMES)('an entry with a name of %s', (_, name) => {
  it.each(INVALIDATIONS.map((invalidation) => [invalidation.what, invalidation] as const))(
    'is reached by %s',
    async (_what, invalidation) => {
      const reached = entriesOf(name).filter(({ source }) => invalidation.reaches.includes(source));
      for (const form of invalidation.forms(name)) {
        await look([...reached, OTHER]);
        const other = (await look([OTHER]))[OTHER.what]!;
        const before = await look(reached);
        expect(Object.values(before).filter((seen) => !seen.startsWith('hit'))).toEqual([]);
        version += 1;
        await invalidation.invalidate(form);
        expect(await look(reached)).toEqual(all(reached, `fetched ${version}`));
        expect(await look([OTHER])).toEqual(all([OTHER], other));
      }
    },
  );
});

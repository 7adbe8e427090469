import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import { clientSite } from '../../policies/http/forwarding.ts';
import { keyedQuery, normalizeTarget } from '../../policies/key.ts';
import { compileMapping } from '../../policies/mapping.ts';
import { decodedEscapes, normalAuthority, normalName, textOfBytes } from '../../policies/names.ts';
import { responseTags } from '../../policies/rfc9111/response-tags.ts';
import { entryTags, groupSite, tagOfName } from '../../policies/tags.ts';
import { readPurgeRequest } from '../../proxy/admin/purge-request.ts';
import { purgeTags } from '../../proxy/admin/purge-tags.ts';
import { readArguments } from '../../proxy/cli/arguments.ts';
import { tagsOfChange } from '../../proxy/feeds/change-tags.ts';
import { compileConfiguration } from '../../proxy/origins/active-route.ts';
import { tagsOfPlace } from '../../policies/url-tags.ts';
import { writtenTags } from '../../policies/written-tags.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import { configOf } from '../config/load.ts';

const bytes = (text: string, encoding: 'utf8' | 'latin1' = 'utf8') =>
  Buffer.from(text, encoding).toString('latin1');
const escapes = (text: string, encoding: 'utf8' | 'latin1' = 'utf8') =>
  [...Buffer.from(text, encoding)].map((byte) => `%${byte.toString(16)}`).join('');

describe('the normal form of a name', () => {
  it.each([
    ['ASCII', 'moebel', 'moebel'],
    ['UTF-8', bytes('m\u00f6bel'), 'm\u00f6bel'],
    ['ISO-8859-1', bytes('m\u00f6bel', 'latin1'), 'm\u00f6bel'],
    ['decomposed', bytes('mo\u0308bel'), 'm\u00f6bel'],
    ['four bytes', bytes('\u{1f6cb}'), '\u{1f6cb}'],
    ['a character whose last byte is that of a no-break space', bytes('voil\u00e0'), 'voil\u00e0'],
    ['composed and decomposed characters', `${bytes('\u00f6')}${bytes('\u00f6', 'latin1')}`, '\u00f6\u00f6'],
    ['an overlong sequence, which is not UTF-8', '\u00c0\u00ae', '\u00c0\u00ae'],
    ['a surrogate, which is not UTF-8', '\u00ed\u00a0\u0080', '\u00ed\u00a0\u0080'],
  ])('is found for bytes that are %s', (_, wire, name) => {
    expect(normalName(textOfBytes(wire))).toBe(name);
    expect(normalName(decodedEscapes(escapes(wire, 'latin1')))).toBe(name);
  });

  it.each([
    ['Shop.Example', 'shop.example'],
    ['shop.example.', 'shop.example'],
    ['shop.example:', 'shop.example'],
    ['shop.example.:0080', 'shop.example:80'],
    ['M\u00fcller.example', 'xn--mller-kva.example'],
    ['mu\u0308ller.example:81', 'xn--mller-kva.example:81'],
    ['m%C3%BCller.example', 'xn--mller-kva.example'],
    ['XN--MLLER-KVA.example', 'xn--mller-kva.example'],
    ['[::1]:8080', '[::1]:8080'],
    ['[0:0:0:0:0:0:0:1]', '[::1]'],
    ['a_b.example', 'a_b.example'],
  ])('is found for the host %s', (host, form) => {
    expect(normalAuthority(host)).toBe(form);
    expect(normalAuthority(form)).toBe(form);
  });

  it.each(['', '.', 'a b', 'a/b', 'a@b', ':80', '[::1', 'a:b', '[x]', '\u00fc/a', '\u00fc@b'])(
    'does not exist for the host %j',
    (host) => {
      expect(normalAuthority(host)).toBe(null);
    },
  );
});

const CONFIG = configOf(`
origins: { shop: { url: 'http://127.0.0.1:1', host-header: client } }
feeds:
  changes:
    type: sse
    url: http://127.0.0.1:1
    map:
      - when: { kind: [m\u00f6bel, moebel, "\u{1f6cb}"] }
        invalidate:
          tags: ["kind:{kind}"]
          urls: ["/kinds/{kind}", "/search?q={kind}"]
          prefixes: ["/below/{kind}"]
routes:
  - name: kinds
    match: /kinds/{kind}
    cache: { tags: ["kind:{kind}"] }
    write: { invalidate: { tags: ["kind:{kind}"], urls: ["/search?q={kind}"], prefixes: ["/below/{kind}"] } }
  - { name: below, match: /below/* }
  - { name: search, match: /search, cache: { key: { query: { only: [q] } } } }
  - { name: keyed, match: /keyed, cache: { key: { headers: [x-kind], cookies: [kind] } } }
  - { name: "k\u00fcche", match: /*, }
`);
const SITE = compileConfiguration(CONFIG, new Map([['shop', {} as Origin]]));

/** The tags of the entry for a GET. */
function tagsOfEntry(target: string, host = 'shop.example', answer: Fields = []): string[] {
  const { path, query } = normalizeTarget(target)!;
  const { authority } = clientSite({
    fields: [],
    trusted: false,
    remoteAddress: '',
    scheme: 'http',
    authority: host,
  });
  const match = SITE.router.match('GET', authority, path);
  if (match.kind !== 'route') throw new Error(match.kind);
  const { config, originConfig, tagsFor } = SITE.routes.get(match.route.name)!;
  return entryTags({
    authority,
    path,
    query: keyedQuery(query, config.cache.key.query),
    route: config.name,
    origin: config.origin,
    feed: null,
    extra: [...tagsFor(match.params), ...responseTags(answer, groupSite(originConfig, authority))],
  });
}

function purged(body: object): readonly string[] {
  const read = readPurgeRequest(Buffer.from(JSON.stringify(body)));
  if (read.kind === 'invalid') throw new Error(read.problems.join());
  const found = purgeTags(read.request, CONFIG);
  if (found.kind === 'invalid') throw new Error(found.problems.join());
  return found.tags;
}

function purgedByCommand(...args: string[]): readonly string[] {
  const command = readArguments(['purge', ...args]);
  if (command.kind !== 'purge') throw new Error(command.kind);
  return purged(command.request);
}

function changed(row: Readonly<Record<string, string>>): string[] {
  const mapped = compileMapping(CONFIG.feeds['changes']!.map).mapChange({
    message: [],
    before: null,
    after: row,
    known: 'all',
  });
  return tagsOfChange(CONFIG, mapped, []);
}

const written = (path: string) => {
  const match = SITE.router.match('POST', 'shop.example', normalizeTarget(path)!.path);
  return match.kind === 'route' ? SITE.routes.get(match.route.name)!.writeTagsFor(match.params) : [];
};

const answered = (fields: Fields) =>
  writtenTags(
    CONFIG,
    CONFIG.origins['shop']!,
    { method: 'POST', target: '/other', authority: 'shop.example', scheme: 'http' },
    { status: 200, fields },
  );

/** Each name in the forms that clients and origins send: one character a byte, or percent-encoded. */
const NAMES: readonly (readonly [what: string, name: string, wire: string[], encoded: string[]])[] = (
  [
    ['ASCII', 'moebel'],
    ['an umlaut', 'm\u00f6bel'],
    ['an emoji', '\u{1f6cb}'],
  ] as const
).map(([what, name]) => {
  const isLatin = /^[\0-\xff]*$/.test(name);
  const forms = [name, name.normalize('NFD')];
  return [
    what,
    name,
    [...forms.map((form) => bytes(form)), ...(isLatin ? [bytes(name, 'latin1')] : [])],
    [...forms.map((form) => escapes(form)), ...(isLatin ? [escapes(name, 'latin1')] : [])],
  ];
});

describe.each(NAMES)('an entry is reached by a name of %s', (_, name, wire, encoded) => {
  const forms = [name, name.normalize('NFD')];
  const reaches = (invalidated: readonly string[], entry: readonly string[]) =>
    expect(invalidated.filter((tag) => entry.includes(tag))).not.toEqual([]);

  it("in its response's fields", () => {
    for (const sent of wire) {
      for (const fields of [
        ['Surrogate-Key', `a kind:${sent}  b`],
        ['Cache-Tag', `a, kind:${sent} ,b`],
        ['xkey', `kind:${sent}, a`],
        ['Cache-Groups', `"a", "kind:${sent}"`],
      ]) {
        const entry = tagsOfEntry('/any', 'shop.example', fields);
        for (const form of forms) {
          reaches(purged({ tags: [`kind:${form}`] }), entry);
          reaches(purgedByCommand('--tag', `kind:${form}`), entry);
          reaches(changed({ kind: form }), entry);
        }
        for (const path of encoded) reaches(written(`/kinds/${path}`), entry);
      }
    }
  });

  it('in a group of its response, as a String or a Display String', () => {
    const display = [...Buffer.from(`kind:${name}`)].map((byte) =>
      byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `%${byte.toString(16)}`,
    );
    const spelled = [...wire.map((sent) => `"kind:${sent}"`), `%"${display.join('')}"`];
    for (const one of spelled) {
      for (const other of spelled) {
        const entry = tagsOfEntry('/any', 'shop.example', ['Cache-Groups', one]);
        reaches(answered(['Cache-Group-Invalidation', other]), entry);
      }
    }
  });

  it('in its path', () => {
    for (const sent of [...wire, ...encoded]) {
      const entry = tagsOfEntry(`/kinds/${sent}`);
      for (const form of forms) {
        reaches(purged({ tags: [`kind:${form}`] }), entry);
        reaches(purged({ urls: [`/kinds/${form}`] }), entry);
        reaches(purged({ urls: [`http://shop.example/kinds/${form}`] }), entry);
        reaches(purgedByCommand('--url', `/kinds/${form}`), entry);
        reaches(changed({ kind: form }), entry);
      }
      for (const other of [...wire, ...encoded]) {
        const target = normalizeTarget(`/kinds/${other}`)!;
        reaches(tagsOfPlace(CONFIG, { authority: 'shop.example', ...target }), entry);
        reaches(answered(['Location', `/kinds/${other}`]), entry);
        reaches(written(`/kinds/${other}`), entry);
      }
    }
  });

  it('in a segment of its path above the last', () => {
    for (const sent of [...wire, ...encoded]) {
      const entry = tagsOfEntry(`/below/${sent}/page`);
      for (const form of forms) {
        reaches(purged({ prefixes: [`/below/${form}`] }), entry);
        reaches(purgedByCommand('--prefix', `/below/${form}`), entry);
        reaches(changed({ kind: form }), entry);
      }
      for (const other of encoded) reaches(written(`/kinds/${other}`), entry);
    }
  });

  it('in its query', () => {
    for (const sent of [...wire, ...encoded]) {
      const entry = tagsOfEntry(`/search?utm=x&q=${sent}`);
      for (const form of forms) {
        reaches(purged({ urls: [`/search?q=${form}`] }), entry);
        reaches(changed({ kind: form }), entry);
      }
      for (const other of encoded) reaches(written(`/kinds/${other}`), entry);
    }
  });
});

describe('an entry is reached', () => {
  const HOSTS = [
    'xn--mller-kva.example',
    'XN--MLLER-KVA.EXAMPLE.',
    'M\u00fcller.example',
    'mu\u0308ller.example',
  ];

  it('by its host in any spelling', () => {
    for (const host of ['xn--mller-kva.example', 'xn--mller-kva.example.', 'm%c3%bcller.example']) {
      const entry = tagsOfEntry('/a/b', host);
      for (const other of HOSTS) {
        for (const tags of [
          purged({ hosts: [other] }),
          purgedByCommand('--host', other),
          purged({ urls: [`http://${other}/a/b`] }),
          purged({ prefixes: [`https://${other}/a`] }),
        ]) {
          expect(tags.filter((tag) => entry.includes(tag))).not.toEqual([]);
        }
      }
    }
  });

  it("by its route's host in any spelling of the configuration", () => {
    for (const host of HOSTS) {
      const { routes } = configOf(`
origins: { shop: { url: 'http://127.0.0.1:1' } }
routes: [{ name: a, match: { path: /a, host: "${host}" } }, { match: /* }]
`);
      expect(routes[0]!.match.host).toBe('xn--mller-kva.example');
    }
  });

  it("by its route's name, composed or decomposed", () => {
    const entry = tagsOfEntry('/any');
    for (const name of ['k\u00fcche', 'ku\u0308che']) {
      expect(entry).toEqual(expect.arrayContaining([...purged({ routes: [name] })]));
      expect(entry).toEqual(expect.arrayContaining([...purgedByCommand('--route', name)]));
    }
  });
});

describe('an entry', () => {
  it('is not reached by a different name', () => {
    const entry = tagsOfEntry('/any', 'shop.example', ['Surrogate-Key', bytes('m\u00f6bel')]);
    for (const other of ['mobel', 'moebel', 'M\u00f6bel', 'm\u00f6bel2']) {
      expect(entry).not.toContain(tagOfName(other));
    }
  });
});

describe('a purge whose bytes are not UTF-8', () => {
  it('is rejected, because its names are unknown', () => {
    expect(readPurgeRequest(Buffer.from('{"tags":["m\u00f6bel"]}', 'latin1'))).toEqual({
      kind: 'invalid',
      problems: ['expected a JSON object, got something that is not UTF-8'],
    });
  });
});

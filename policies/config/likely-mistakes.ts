/** Warns of values that are valid but probably mistakes. */
import { finding, type Finding, type Path } from './diagnostic.ts';
import type { Sections } from './sections.ts';
import type { InvalidationInput } from './route-schema.ts';
import { hasWildcard } from '../url-place.ts';

export function warnOfLikelyMistakes(sections: Sections): Finding[] {
  return [
    ...warnOfColons(sections),
    ...warnOfWildcards(sections),
    ...warnOfShortSecrets(sections),
    ...warnOfTinySizes(sections),
  ];
}

/** `/users/:id`, as other routers write parameters. */
function warnOfColons(sections: Sections): Finding[] {
  const ofMatches = sections.routes.flatMap(({ route, own: { path } }) => {
    if (route === null) return [];
    const { match } = route;
    return typeof match === 'string'
      ? colonsOf(match, [...path, 'match'])
      : colonsOf(match.path, [...path, 'match', 'path']);
  });
  const { urls, prefixes } = invalidatedBy(sections);
  const ofInvalidations = [...urls, ...prefixes].flatMap(([text, path]) => colonsOf(text, path));
  return [...ofMatches, ...ofInvalidations];
}

/** `/a/*` among URLs, a wildcard in other caches: here a literal path, which no entry has. A prefix may end in `/*`. */
function warnOfWildcards(sections: Sections): Finding[] {
  const { urls, prefixes } = invalidatedBy(sections);
  const ofUrls = urls.flatMap(([text, path]) =>
    wildcardOf(text, path, 'one URL without wildcards (prefixes takes everything below a path)'),
  );
  const ofPrefixes = prefixes.flatMap(([text, path]) => {
    const below = text.endsWith('/*') ? text.slice(0, -2) : text;
    return wildcardOf(below, path, 'whole segments, with no wildcard but a final /*');
  });
  return [...ofUrls, ...ofPrefixes];
}

function wildcardOf(text: string, path: Path, expected: string): Finding[] {
  const [target] = text.split('?');
  return hasWildcard(target!) ? [finding(path, expected, text)] : [];
}

type Placed = readonly [text: string, path: Path];

/** The URLs and prefixes that writes and changes invalidate. */
function invalidatedBy({ routes, feeds }: Sections): { urls: Placed[]; prefixes: Placed[] } {
  const found = { urls: [] as Placed[], prefixes: [] as Placed[] };
  const add = ({ urls, prefixes }: InvalidationInput, path: Path): void => {
    for (const [i, url] of urls.entries()) found.urls.push([url, [...path, 'urls', i]]);
    for (const [i, prefix] of prefixes.entries()) found.prefixes.push([prefix, [...path, 'prefixes', i]]);
  };
  for (const { route, own } of routes) {
    if (route !== null) add(route.write.invalidate, [...own.path, 'write', 'invalidate']);
  }
  for (const [name, feed] of feeds) {
    for (const [i, { invalidate }] of (feed?.map ?? []).entries()) {
      add(invalidate, ['feeds', name, 'map', i, 'invalidate']);
    }
  }
  return found;
}

function colonsOf(text: string, path: Path): Finding[] {
  return text
    .split('/')
    .filter(isColonParameter)
    .map((segment) =>
      finding(
        path,
        `{${segment.slice(1)}} where a parameter is meant`,
        `${segment}, which fits that text alone`,
      ),
    );
}

function isColonParameter(segment: string): boolean {
  return segment.startsWith(':') && /^[A-Za-z_]/.test(segment.slice(1));
}

/** RFC 2104 §3 discourages keys shorter than the digest; one below 16 bytes can be guessed from a single delivery. */
const SECRET_BYTES = 16;

function warnOfShortSecrets({ feeds }: Sections): Finding[] {
  return [...feeds].flatMap(([name, feed]) => {
    if (feed === null || feed.type !== 'webhook' || !('secret' in feed)) return [];
    const { secret } = feed;
    const path = ['feeds', name, 'secret'];
    return Array.isArray(secret)
      ? secret.flatMap((each, i) => shortSecret(each, [...path, i]))
      : shortSecret(secret, path);
  });
}

function shortSecret(secret: unknown, path: Path): Finding[] {
  if (typeof secret !== 'string') return [];
  const bytes = secretBytes(secret);
  return bytes >= SECRET_BYTES
    ? []
    : [finding(path, `a secret of at least ${SECRET_BYTES} bytes, that nobody guesses`, `one of ${bytes}`)];
}

/** The length in bytes of the key: decoded where `whsec_` and base64 encode it, else of the text. */
function secretBytes(secret: string): number {
  if (!secret.startsWith(STANDARD_PREFIX)) return new TextEncoder().encode(secret).length;
  const digits = secret.slice(STANDARD_PREFIX.length).replaceAll('=', '');
  return Math.floor((digits.length * 3) / 4);
}

const STANDARD_PREFIX = 'whsec_';

const MIB = 2 ** 20;

/** Sizes that probably have a wrong unit, or none. */
function warnOfTinySizes({ cache }: Sections): Finding[] {
  if (cache === null) return [];
  const sizes: readonly (readonly [Path, number])[] = [
    [['cache', 'memory'], cache.memory],
    [['cache', 'disk', 'size'], cache.disk.size],
  ];
  return sizes
    .filter(([, bytes]) => bytes > 0 && bytes < MIB)
    .map(([path, bytes]) => finding(path, '1MiB or more, or 0 to switch the tier off', `${bytes} bytes`));
}

/** Warns of values that are valid and most likely not what was meant. */
import { finding, type Finding, type Path } from './diagnostic.ts';
import type { Sections } from './sections.ts';
import type { InvalidationInput } from './route-schema.ts';

export function warnOfLikelyMistakes(sections: Sections): Finding[] {
  return [...warnOfColons(sections), ...warnOfShortSecrets(sections), ...warnOfTinySizes(sections)];
}

/** `/users/:id`, as other routers write parameters. */
function warnOfColons({ routes, feeds }: Sections): Finding[] {
  const ofRoutes = routes.flatMap(({ route, own: { path } }) => {
    if (route === null) return [];
    const { match } = route;
    return [
      ...(typeof match === 'string'
        ? colonsOf(match, [...path, 'match'])
        : colonsOf(match.path, [...path, 'match', 'path'])),
      ...colonsOfTemplates(route.write.invalidate, [...path, 'write', 'invalidate']),
    ];
  });
  const ofFeeds = [...feeds].flatMap(([name, feed]) =>
    (feed?.map ?? []).flatMap(({ invalidate }, i) =>
      colonsOfTemplates(invalidate, ['feeds', name, 'map', i, 'invalidate']),
    ),
  );
  return [...ofRoutes, ...ofFeeds];
}

function colonsOfTemplates({ urls, prefixes }: InvalidationInput, path: Path): Finding[] {
  return [
    ...urls.flatMap((url, i) => colonsOf(url, [...path, 'urls', i])),
    ...prefixes.flatMap((prefix, i) => colonsOf(prefix, [...path, 'prefixes', i])),
  ];
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

/** Of the key that `whsec_` and base64 stand for, or of the text. */
function secretBytes(secret: string): number {
  if (!secret.startsWith(STANDARD_PREFIX)) return new TextEncoder().encode(secret).length;
  const digits = secret.slice(STANDARD_PREFIX.length).replaceAll('=', '');
  return Math.floor((digits.length * 3) / 4);
}

const STANDARD_PREFIX = 'whsec_';

const MIB = 2 ** 20;

/** Sizes without a unit, or with the wrong one. */
function warnOfTinySizes({ cache }: Sections): Finding[] {
  if (cache === null) return [];
  const sizes: readonly (readonly [Path, number])[] = [
    [['cache', 'memory'], cache.memory],
    [['cache', 'disk', 'size'], cache.disk.size],
  ];
  return sizes
    .filter(([, bytes]) => bytes > 0 && bytes < MIB)
    .map(([path, bytes]) => finding(path, '1MiB or more, or 0 to switch the level off', `${bytes} bytes`));
}

/** Checks that span several keys: dangling names, keys that contradict each other, routes that no request reaches. */
import ipaddr from 'ipaddr.js';
import { isDroppedName } from '../http/field-names.ts';
import { parsePattern, takesAllOf } from '../routing.ts';
import { compileTemplate } from '../templates.ts';
import { routeMatch, routeName } from './compile.ts';
import type { Finding, Path } from './diagnostic.ts';
import { finding, oneOf, valueAt } from './diagnostic.ts';
import type { Layer, Sections, RouteSection } from './sections.ts';
import { warnOfUnreached } from './invalidation-reach.ts';
import type { RouteInput } from './route-schema.ts';
import { warnOfLikelyMistakes } from './likely-mistakes.ts';
import { DEMO_URL } from './value-schemas.ts';

export interface SemanticFindings {
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** The packages that a feed of this type needs and that are not installed. */
export type MissingPackages = (feedType: string) => readonly string[];

export function checkSemantics(sections: Sections, missingPackages: MissingPackages): SemanticFindings {
  return {
    errors: [
      ...checkAdmin(sections),
      ...checkOrigins(sections),
      ...checkReceivers(sections),
      ...sections.routes.flatMap((section) => checkRoute(section, sections)),
      ...checkNames(sections.routes),
      ...checkReach(sections.routes),
    ],
    warnings: [
      ...sections.routes.flatMap(warnOfIdleKeys),
      ...sections.routes.flatMap((section) => warnOfDroppedNames(section, sections)),
      ...warnOfUncaught(sections.routes),
      ...warnOfUnreached(sections),
      ...warnOfLikelyMistakes(sections),
      ...warnOfMissingPackages(sections, missingPackages),
    ],
  };
}

function checkAdmin({ admin, listen }: Sections): Finding[] {
  if (admin === null) return [];
  const findings: Finding[] = [];
  if (admin.token === '' && !isLoopback(admin.host)) {
    findings.push(finding(['admin', 'host'], 'a loopback address, or a token', `"${admin.host}"`));
  }
  if (listen !== null && admin.port !== 0 && admin.port === listen.port && admin.host === listen.host) {
    findings.push(finding(['admin', 'port'], 'another port than that of listen', String(admin.port)));
  }
  return findings;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || (ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback');
}

function checkOrigins({ origins }: Sections): Finding[] {
  if (origins.size === 0) return [finding(['origins'], 'at least one origin', 'none')];
  return [...origins].flatMap(([name, origin]) => {
    const path = ['origins', name, 'url'];
    return Array.isArray(origin?.url) && origin.url.length > 1 && origin.url.includes(DEMO_URL)
      ? [finding(path, 'http(s) URLs, or demo: alone', 'demo: among others')]
      : [];
  });
}

/** The client packages of feeds are optional. Without its package a feed is lost until a restart. */
function warnOfMissingPackages({ feeds }: Sections, missingPackages: MissingPackages): Finding[] {
  return [...feeds].flatMap(([name, feed]) => {
    const missing = feed === null ? [] : missingPackages(feed.type);
    if (missing.length === 0) return [];
    const list = missing.join(' ');
    return [
      finding(['feeds', name, 'type'], `what a ${feed!.type} feed needs (npm i ${list})`, `no ${list}`),
    ];
  });
}

/** A webhook delivery is assigned to its feed by its path. */
function checkReceivers({ feeds }: Sections): Finding[] {
  const seen = new Set<unknown>();
  return [...feeds].flatMap(([name, feed]) => {
    if (feed === null || !('path' in feed)) return [];
    const isTaken = seen.has(feed.path);
    seen.add(feed.path);
    return isTaken
      ? [finding(['feeds', name, 'path'], 'a path of its own', `${JSON.stringify(feed.path)} again`)]
      : [];
  });
}

function checkRoute(section: RouteSection, sections: Sections): Finding[] {
  const { route } = section;
  const findings = checkRouteOrigin(section, sections);
  if (route === null) return findings;
  return [
    ...findings,
    ...checkFreshness(section, route, sections),
    ...checkWrite(section, route),
    ...checkTemplates(section, route),
  ];
}

function checkRouteOrigin(section: RouteSection, { origins }: Sections): Finding[] {
  const { path, written } = section.own;
  if (typeof written !== 'object') return [];
  const origin = writtenAt(section.own, ['origin']);
  const names = [...origins.keys()];
  if (typeof origin === 'string' && !origins.has(origin)) {
    return [finding([...path, 'origin'], oneOf(names, origin), JSON.stringify(origin))];
  }
  return origin === undefined && names.length > 1
    ? [finding([...path, 'origin'], `one of ${names.join(', ')}`, 'nothing')]
    : [];
}

function checkFreshness(section: RouteSection, { cache }: RouteInput, { feeds }: Sections): Finding[] {
  const findings: Finding[] = [];
  const freshness = placeOf(section, ['cache', 'freshness']);
  if (cache.freshness === 'fixed' && !says(section, ['cache', 'ttl'])) {
    findings.push(finding(freshness, 'a ttl with freshness: fixed', 'none'));
  }
  if (cache.freshness === 'until-changed' && !says(section, ['cache', 'feed'])) {
    findings.push(finding(freshness, 'a feed with freshness: until-changed', 'none'));
  }
  if (cache.feed !== undefined && !feeds.has(cache.feed)) {
    const names = [...feeds.keys()];
    const expected = names.length === 0 ? 'the name of a feed (there are none)' : oneOf(names, cache.feed);
    findings.push(finding(placeOf(section, ['cache', 'feed']), expected, JSON.stringify(cache.feed)));
  }
  for (const key of ['version-header', 'position-header'] as const) {
    if (cache[key] !== undefined && cache[key] !== false && !says(section, ['cache', 'feed'])) {
      findings.push(finding(placeOf(section, ['cache', key]), `a feed with ${key}`, 'none'));
    }
  }
  return findings;
}

function checkWrite(section: RouteSection, { write }: RouteInput): Finding[] {
  const findings: Finding[] = [];
  if (
    write.update &&
    write.policy !== 'through' &&
    writtenAt(section.own, ['write', 'update']) !== undefined
  ) {
    findings.push(
      finding(
        placeOf(section, ['write', 'update']),
        'policy: through with update: true',
        `policy: ${write.policy}`,
      ),
    );
  }
  if (
    write.coalesce &&
    write.policy !== 'behind' &&
    writtenAt(section.own, ['write', 'coalesce']) !== undefined
  ) {
    const path = placeOf(section, ['write', 'coalesce']);
    findings.push(finding(path, 'policy: behind with coalesce: true', `policy: ${write.policy}`));
  }
  if (write.retry.base > write.retry.max) {
    findings.push(finding(placeOf(section, ['write', 'retry', 'base']), 'no more than max', 'more'));
  }
  return findings;
}

function checkTemplates(section: RouteSection, route: RouteInput): Finding[] {
  const { names } = parsePattern(routeMatch(route).path);
  const { tags, urls, prefixes } = route.write.invalidate;
  const lists: readonly (readonly [readonly string[], readonly string[]])[] = [
    [['cache', 'tags'], route.cache.tags],
    [['write', 'invalidate', 'tags'], tags],
    [['write', 'invalidate', 'urls'], urls],
    [['write', 'invalidate', 'prefixes'], prefixes],
  ];
  const expected =
    names.length === 0
      ? `no {name}, as the pattern of route ${routeName(route)} has none`
      : `parameters of route ${routeName(route)}: ${names.map((name) => `{${name}}`).join(', ')}`;
  return lists.flatMap(([at, templates]) =>
    templates.flatMap((template, i) =>
      compileTemplate(template)
        .names.filter((name) => !names.includes(name))
        .map((name) => finding([...placeOf(section, at), i], expected, `{${name}}`)),
    ),
  );
}

function checkNames(routes: readonly RouteSection[]): Finding[] {
  const seen = new Set<string>();
  return routes.flatMap(({ route, own: { path } }) => {
    if (route === null) return [];
    const name = routeName(route);
    const repeated = seen.has(name);
    seen.add(name);
    return repeated ? [finding([...path, 'name'], 'a name of its own', `${JSON.stringify(name)} again`)] : [];
  });
}

function checkReach(routes: readonly RouteSection[]): Finding[] {
  return routes.flatMap(({ route, own: { path } }, i) => {
    if (route === null) return [];
    const match = routeMatch(route);
    const earlier = routes
      .slice(0, i)
      .find((candidate) => candidate.route !== null && takesAllOf(routeMatch(candidate.route), match));
    if (!earlier?.route) return [];
    const expected = `a request that no earlier route takes`;
    return [finding([...path, 'match'], expected, `what route ${routeName(earlier.route)} takes all of`)];
  });
}

/** Keys that have no effect with the freshness of the route. */
function warnOfIdleKeys(section: RouteSection): Finding[] {
  const { route } = section;
  if (route === null) return [];
  const { freshness } = route.cache;
  return EFFECTIVE_WITH.flatMap(([key, needed]) =>
    needed.includes(freshness) || writtenAt(section.own, ['cache', key]) === undefined
      ? []
      : [
          finding(
            placeOf(section, ['cache', key]),
            `freshness: ${needed.join(' or ')} with ${key}`,
            `${freshness}: it has no effect`,
          ),
        ],
  );
}

const EFFECTIVE_WITH: readonly (readonly [string, readonly string[]])[] = [
  ['ttl', ['fixed']],
  ['default-ttl', ['headers']],
];

/** Field names that no request has, because `listen.underscores` drops them. */
function warnOfDroppedNames(section: RouteSection, { listen }: Sections): Finding[] {
  const { route } = section;
  if (route === null || listen?.underscores !== 'drop') return [];
  return (['key', 'bypass'] as const).flatMap((key) =>
    route.cache[key].headers.filter(isDroppedName).map((name) => {
      const place = placeOf(section, ['cache', key, 'headers']);
      return finding(place, 'listen.underscores: keep with such a name', `${name}: it is always dropped`);
    }),
  );
}

function warnOfUncaught(routes: readonly RouteSection[]): Finding[] {
  const all = { path: '/*', host: null, methods: null };
  const caught = routes.some(({ route }) => {
    return route === null || takesAllOf({ ...routeMatch(route), methods: null }, all);
  });
  return caught
    ? []
    : [finding(['routes'], 'a last route that matches /*', 'none: other paths get 404', 'key')];
}

/** The place of a value of this route: in the route, else in the defaults. */
function placeOf(section: RouteSection, at: Path): Path {
  const layer =
    [section.own, section.defaults].find((candidate) => writtenAt(candidate, at) !== undefined) ??
    section.own;
  return [...layer.path, ...at];
}

/** Whether the route or the defaults have the key, with whatever value. */
function says(section: RouteSection, at: Path): boolean {
  return [section.own, section.defaults].some((layer) => writtenAt(layer, at) !== undefined);
}

function writtenAt(layer: Layer, at: Path): unknown {
  return valueAt(layer.written, at);
}

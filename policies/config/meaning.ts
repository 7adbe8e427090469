/** Checks what no schema can say: names that lead nowhere, keys that contradict each other, routes never reached. */
import ipaddr from 'ipaddr.js';
import { isDroppedName } from '../http/field-names.ts';
import { parsePattern, takesAllOf } from '../routing.ts';
import { compileTemplate } from '../templates.ts';
import { routeMatch, routeName } from './compile.ts';
import type { Finding, Path } from './diagnostic.ts';
import { finding, oneOf, valueAt } from './diagnostic.ts';
import type { Layer, Parts, RoutePart } from './parts.ts';
import { warnOfUnreached } from './reach.ts';
import type { RouteInput } from './route-schema.ts';
import { warnOfDoubtful } from './doubtful.ts';
import { DEMO_URL } from './words.ts';

export interface Meaning {
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** Names the packages that a feed of this type needs and that are not installed. */
export type MissingPackages = (feedType: string) => readonly string[];

export function checkMeaning(parts: Parts, missingPackages: MissingPackages): Meaning {
  return {
    errors: [
      ...checkAdmin(parts),
      ...checkOrigins(parts),
      ...checkReceivers(parts),
      ...parts.routes.flatMap((part) => checkRoute(part, parts)),
      ...checkNames(parts.routes),
      ...checkReach(parts.routes),
    ],
    warnings: [
      ...parts.routes.flatMap(warnOfIdleKeys),
      ...parts.routes.flatMap((part) => warnOfDroppedNames(part, parts)),
      ...warnOfUncaught(parts.routes),
      ...warnOfUnreached(parts),
      ...warnOfDoubtful(parts),
      ...warnOfMissingPackages(parts, missingPackages),
    ],
  };
}

function checkAdmin({ admin, listen }: Parts): Finding[] {
  if (admin === null) return [];
  const findings: Finding[] = [];
  if (admin.token === '' && !isLoopback(admin.host)) {
    findings.push(finding(['admin', 'host'], 'a loopback address, or a token beside it', `"${admin.host}"`));
  }
  if (listen !== null && admin.port !== 0 && admin.port === listen.port && admin.host === listen.host) {
    findings.push(finding(['admin', 'port'], 'another port than that of listen', String(admin.port)));
  }
  return findings;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || (ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback');
}

function checkOrigins({ origins }: Parts): Finding[] {
  if (origins.size === 0) return [finding(['origins'], 'at least one origin', 'none')];
  return [...origins].flatMap(([name, origin]) => {
    const path = ['origins', name, 'url'];
    return Array.isArray(origin?.url) && origin.url.length > 1 && origin.url.includes(DEMO_URL)
      ? [finding(path, 'http(s) URLs, or demo: alone', 'demo: among others')]
      : [];
  });
}

/** Clients of feeds are optional: without one the feed is lost, and never comes back before a restart. */
function warnOfMissingPackages({ feeds }: Parts, missingPackages: MissingPackages): Finding[] {
  return [...feeds].flatMap(([name, feed]) => {
    const missing = feed === null ? [] : missingPackages(feed.type);
    if (missing.length === 0) return [];
    const list = missing.join(' ');
    return [
      finding(['feeds', name, 'type'], `what a ${feed!.type} feed needs (npm i ${list})`, `no ${list}`),
    ];
  });
}

/** Deliveries are told apart by their path alone. */
function checkReceivers({ feeds }: Parts): Finding[] {
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

function checkRoute(part: RoutePart, parts: Parts): Finding[] {
  const { route } = part;
  const findings = checkRouteOrigin(part, parts);
  if (route === null) return findings;
  return [
    ...findings,
    ...checkFreshness(part, route, parts),
    ...checkWrite(part, route),
    ...checkTemplates(part, route),
  ];
}

function checkRouteOrigin(part: RoutePart, { origins }: Parts): Finding[] {
  const { path, written } = part.own;
  if (typeof written !== 'object') return [];
  const origin = writtenAt(part.own, ['origin']);
  const names = [...origins.keys()];
  if (typeof origin === 'string' && !origins.has(origin)) {
    return [finding([...path, 'origin'], oneOf(names, origin), JSON.stringify(origin))];
  }
  return origin === undefined && names.length > 1
    ? [finding([...path, 'origin'], `one of ${names.join(', ')}`, 'nothing')]
    : [];
}

function checkFreshness(part: RoutePart, { cache }: RouteInput, { feeds }: Parts): Finding[] {
  const findings: Finding[] = [];
  const freshness = placeOf(part, ['cache', 'freshness']);
  if (cache.freshness === 'fixed' && !says(part, ['cache', 'ttl'])) {
    findings.push(finding(freshness, 'a ttl beside freshness: fixed', 'none'));
  }
  if (cache.freshness === 'until-changed' && !says(part, ['cache', 'feed'])) {
    findings.push(finding(freshness, 'a feed beside freshness: until-changed', 'none'));
  }
  if (cache.feed !== undefined && !feeds.has(cache.feed)) {
    const names = [...feeds.keys()];
    const expected = names.length === 0 ? 'the name of a feed (there are none)' : oneOf(names, cache.feed);
    findings.push(finding(placeOf(part, ['cache', 'feed']), expected, JSON.stringify(cache.feed)));
  }
  for (const key of ['version-header', 'position-header'] as const) {
    if (cache[key] !== undefined && cache[key] !== false && !says(part, ['cache', 'feed'])) {
      findings.push(finding(placeOf(part, ['cache', key]), `a feed beside ${key}`, 'none'));
    }
  }
  return findings;
}

function checkWrite(part: RoutePart, { write }: RouteInput): Finding[] {
  const findings: Finding[] = [];
  if (write.update && write.policy !== 'through' && writtenAt(part.own, ['write', 'update']) !== undefined) {
    findings.push(
      finding(
        placeOf(part, ['write', 'update']),
        'policy: through beside update: true',
        `policy: ${write.policy}`,
      ),
    );
  }
  if (
    write.coalesce &&
    write.policy !== 'behind' &&
    writtenAt(part.own, ['write', 'coalesce']) !== undefined
  ) {
    const path = placeOf(part, ['write', 'coalesce']);
    findings.push(finding(path, 'policy: behind beside coalesce: true', `policy: ${write.policy}`));
  }
  if (write.retry.base > write.retry.max) {
    findings.push(finding(placeOf(part, ['write', 'retry', 'base']), 'no more than max', 'more'));
  }
  return findings;
}

function checkTemplates(part: RoutePart, route: RouteInput): Finding[] {
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
        .map((name) => finding([...placeOf(part, at), i], expected, `{${name}}`)),
    ),
  );
}

function checkNames(routes: readonly RoutePart[]): Finding[] {
  const seen = new Set<string>();
  return routes.flatMap(({ route, own: { path } }) => {
    if (route === null) return [];
    const name = routeName(route);
    const repeated = seen.has(name);
    seen.add(name);
    return repeated ? [finding([...path, 'name'], 'a name of its own', `${JSON.stringify(name)} again`)] : [];
  });
}

function checkReach(routes: readonly RoutePart[]): Finding[] {
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

/** Keys that say something and have no effect beside this freshness. */
function warnOfIdleKeys(part: RoutePart): Finding[] {
  const { route } = part;
  if (route === null) return [];
  const { freshness } = route.cache;
  return EFFECTIVE_BESIDE.flatMap(([key, beside]) =>
    beside.includes(freshness) || writtenAt(part.own, ['cache', key]) === undefined
      ? []
      : [
          finding(
            placeOf(part, ['cache', key]),
            `freshness: ${beside.join(' or ')} beside ${key}`,
            `${freshness}: it has no effect`,
          ),
        ],
  );
}

const EFFECTIVE_BESIDE: readonly (readonly [string, readonly string[]])[] = [
  ['ttl', ['fixed']],
  ['default-ttl', ['headers']],
];

/** Names of fields that no request has, as `listen.underscores` drops them. */
function warnOfDroppedNames(part: RoutePart, { listen }: Parts): Finding[] {
  const { route } = part;
  if (route === null || listen?.underscores !== 'drop') return [];
  return (['key', 'bypass'] as const).flatMap((key) =>
    route.cache[key].headers.filter(isDroppedName).map((name) => {
      const place = placeOf(part, ['cache', key, 'headers']);
      return finding(
        place,
        'underscores: keep in listen beside such a name',
        `${name}: it is always dropped`,
      );
    }),
  );
}

function warnOfUncaught(routes: readonly RoutePart[]): Finding[] {
  const all = { path: '/*', host: null, methods: null };
  const caught = routes.some(({ route }) => {
    return route === null || takesAllOf({ ...routeMatch(route), methods: null }, all);
  });
  return caught
    ? []
    : [finding(['routes'], 'a last route that matches /*', 'none: other paths get 404', 'key')];
}

/** Where a value of this route was written: in the route, else in the defaults. */
function placeOf(part: RoutePart, at: Path): Path {
  const layer =
    [part.own, part.defaults].find((candidate) => writtenAt(candidate, at) !== undefined) ?? part.own;
  return [...layer.path, ...at];
}

/** Whether the route or the defaults say anything of it, be it wrong. */
function says(part: RoutePart, at: Path): boolean {
  return [part.own, part.defaults].some((layer) => writtenAt(layer, at) !== undefined);
}

function writtenAt(layer: Layer, at: Path): unknown {
  return valueAt(layer.written, at);
}
